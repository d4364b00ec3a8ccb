"""The command `clipqueue`: options, output and exit codes. The logic is in the sibling packages."""
