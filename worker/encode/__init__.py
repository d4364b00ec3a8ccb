"""Turns pixels into vectors: forms batches, loads the model and runs it."""
