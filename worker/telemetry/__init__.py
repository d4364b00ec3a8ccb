"""What a worker tells its operators of each job: metrics, log lines and spans."""
