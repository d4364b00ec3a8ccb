"""`python -m tests.hostile.api_server`: the real API as a process, with limits of time that a test can wait for."""

from __future__ import annotations

from functools import partial

from producer.api import app, bodies, server
from producer.api.settings import load_api_settings

# The API gives a head 15 s, a body 10 s and one more for each 50 KB, and a client that takes nothing 15 s. It reads 2 s
# of a refused body, and keeps a connection open for 5 s.
HEAD_S, BODY_S, WRITE_S, DISCARD_S, KEEP_ALIVE_S = 1.0, 1.0, 1.0, 0.2, 1


if __name__ == "__main__":
    server._HEAD_S = HEAD_S
    server._WRITE_S = WRITE_S
    server._KEEP_ALIVE_S = KEEP_ALIVE_S
    bodies._DISCARD_S = DISCARD_S
    bodies._BYTES_PER_S = 10_000_000
    app.Bodies = partial(bodies.Bodies, grace_s=BODY_S)  # type: ignore[attr-defined,assignment]
    server.serve(load_api_settings())
