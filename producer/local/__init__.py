"""The embedded stack for trials and tests: Redis, MongoDB and a worker as child processes, without an installation."""
