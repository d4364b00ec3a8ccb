"""Puts jobs on the queue again: backfill, retry and sweep. Needs the extra `mongo`."""
