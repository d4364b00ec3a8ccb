"""The producer's side of MongoDB: reads the backend's documents and records jobs in them. Needs the extra `mongo`."""
