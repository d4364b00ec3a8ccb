"""What a backend imports: the client and its connection to Redis."""
