"""Holds the small model that ships with the project, and the programs that train and evaluate it."""
