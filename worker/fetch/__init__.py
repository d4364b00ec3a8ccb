"""Downloads one image from a URL, within limits of time and size, from public addresses only."""
