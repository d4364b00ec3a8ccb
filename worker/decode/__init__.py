"""Turns the bytes of an image file into pixels, in child processes with limits."""
