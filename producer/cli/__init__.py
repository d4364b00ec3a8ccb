"""The command `clipqueue`: one module for each command, each a thin layer over a function that Python can call."""
