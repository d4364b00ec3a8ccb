"""Tests of docs/monitoring: the alert rules, the dashboard, and a drill that finds faults by them alone."""
