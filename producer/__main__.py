"""`python -m producer` is the command `clipqueue`."""

from producer.cli.main import main

main()
