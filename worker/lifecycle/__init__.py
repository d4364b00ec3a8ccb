"""The life of a worker process: logs, events, drain, heartbeat and watchdog."""
