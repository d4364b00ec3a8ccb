"""`python -m worker.health` is a container's health check: it exits with 0 if this host's worker answers a ping."""

from __future__ import annotations

import socket
import sys

from kombu.exceptions import OperationalError

from worker.app import app

_TIMEOUT_S = 5.0


def main() -> int:
    """Ping this host's worker by its node name, so that other workers on the queue do not answer for it."""
    node = f"celery@{socket.gethostname()}"
    try:
        if app.control.ping(destination=[node], timeout=_TIMEOUT_S):
            return 0
        reason = f"{node} did not answer within {_TIMEOUT_S:g} s"
    except (OperationalError, OSError) as exc:
        reason = f"cannot ping {node}: Redis is unavailable: {exc}"
    print(reason, file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main())
