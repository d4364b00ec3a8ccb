"""The state of the whole queue: one reading of it, the rates between readings, and both for people and Prometheus."""
