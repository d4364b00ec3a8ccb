"""The worker side of clipqueue: fetches images, embeds them in batches, writes the vectors to MongoDB."""
