"""The embedded stack for trials and tests: Redis, MongoDB and a worker as child processes.

It needs the extra `local`, but no servers installed on the system.
"""
