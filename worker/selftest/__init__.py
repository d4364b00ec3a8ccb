"""Checks at start that the installed libraries work as the worker needs: parts of them are private, and may change."""
