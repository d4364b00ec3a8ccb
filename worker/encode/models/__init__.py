"""The small model that ships with the project: its configuration and weights, and how they were made and measured."""
