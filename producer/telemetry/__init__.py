"""What a process tells its operators: metrics, health, and the form of its log. The worker uses this package too."""
