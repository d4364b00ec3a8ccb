"""Reads images to enqueue from lines of URLs, CSV or JSON. Each becomes a row with an id and a URL."""
