"""Writes results into the backend's MongoDB documents, and waits while MongoDB is unavailable."""
