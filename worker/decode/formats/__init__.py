"""Reduces an image file to the picture that a browser shows first, by the rules of its format. TIFF has a folder."""
