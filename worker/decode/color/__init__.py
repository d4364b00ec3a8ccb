"""Finds the color space that a file states, and converts pixels to sRGB."""
