"""The HTTP API: embeddings for other programs, images, and search. It loads no model: workers embed for it.

Needs the extra `api`. `app.create_app` puts it together, `server.serve` runs it.
"""
