"""The functions behind an operator's commands: health checks, purge, and putting jobs back on the queue."""
