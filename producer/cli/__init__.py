"""The command `clipqueue`: options, output and exit codes. The work is done in the packages beside."""
