"""The client that a backend imports, its connection to Redis, and what it reads from the environment."""
