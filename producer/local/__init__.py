"""The embedded stack for trying things out and for tests: real servers as child processes, nothing installed."""
