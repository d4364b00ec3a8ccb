"""`python -m producer` is the command `clipqueue`."""

from producer.cli import main

main()
