"""The worker's side of Redis: takes messages without losing one, validates them, acks, requeues and retries."""
