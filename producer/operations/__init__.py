"""What operators do with a queue: check it, and enqueue what is missing, failed or lost."""
