"""Decodes image files into pixels, in child processes whose CPU time and memory are limited."""
