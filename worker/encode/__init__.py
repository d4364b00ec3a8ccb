"""Turns pixels into vectors: batches, the model and where its weights come from."""
