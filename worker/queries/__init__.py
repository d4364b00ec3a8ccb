"""Answers queries, which are texts and pictures to embed at once, beside Celery and its jobs."""
