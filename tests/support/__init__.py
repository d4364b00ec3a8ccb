"""Real parts for the tests: servers on loopback, pictures made in memory, processes."""
