"""`python -m worker.health` is a container's health check: it exits with 0 if this host's workers are healthy.

In a container, that is the one worker there. It asks neither Redis nor MongoDB: without them, a restart would not help.
"""

from __future__ import annotations

import os
import sys

from worker.lifecycle.pulse import find_problem


def main() -> int:
    """Print why a worker is unhealthy, if one is."""
    # Not from the settings class, whose import takes longer than all else here.
    problem = find_problem(os.environ.get("CLIPQUEUE_HEALTH_FILE", ""))
    if problem:
        print(problem, file=sys.stderr)  # noqa: T201
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
