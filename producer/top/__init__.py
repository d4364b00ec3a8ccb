"""`clipqueue top`: the queue, the workers and the failures, live in a terminal. Needs the extra `top`."""
