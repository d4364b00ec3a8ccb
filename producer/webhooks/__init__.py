"""Webhooks: sends the jobs that have ended to the operator's URL, signed as Standard Webhooks says. Needs requests."""
