"""`python -m worker.health`: exits 0 if this host's worker answers, for a container's health check."""

from __future__ import annotations

import socket
import sys

from kombu.exceptions import OperationalError

from worker.app import app

_TIMEOUT_S = 5.0


def main() -> int:
    """Ping the worker of this host by its node name; other workers on the queue do not count."""
    node = f"celery@{socket.gethostname()}"
    try:
        if app.control.ping(destination=[node], timeout=_TIMEOUT_S):
            return 0
        reason = f"{node} does not answer within {_TIMEOUT_S:g} s"
    except (OperationalError, OSError) as exc:
        reason = f"Redis cannot be asked for {node}: {exc}"
    print(reason, file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main())
