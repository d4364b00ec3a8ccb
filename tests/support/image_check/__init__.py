"""`make image-check`: builds the images of the Dockerfile with a Docker engine, looks into them, and runs them.

It is kept out of `make test`: it takes minutes and needs root, or a Docker engine that runs.
"""
