"""Draws docs/monitoring.png: `python -m tests.monitoring.draw` runs workers, Prometheus and a load for some minutes.

Grafana is no part of the development environment. So this asks a real Prometheus the queries of the dashboard's JSON,
draws the answers as Grafana would lay them out, and lets Chromium make the picture.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.monitoring.fleet import Fleet, Load, control
from tests.monitoring.picture import Period, save
from tests.monitoring.prometheus import running_prometheus

PICTURE = Path(__file__).parents[2] / "docs" / "monitoring.png"
_MINUTES = 5.0


def main() -> int:
    """Return the exit code: 0 if the picture was saved."""
    with tempfile.TemporaryDirectory() as folder, Fleet(Path(folder)) as fleet:
        fleet.start_all(3)
        with running_prometheus(Path(folder), fleet.targets) as prometheus:
            start = time.time()
            with Load(fleet, 30):
                _live(fleet, 60 * _MINUTES)
            save(Period(start, time.time()), prometheus, PICTURE)
    return 0


def _live(fleet: Fleet, seconds: float) -> None:
    """Let the load run. In the middle, the second image host is slow for a while."""
    time.sleep(seconds / 2)
    control(fleet.other_url, mode="fine", min_ms=6000, max_ms=7000)
    time.sleep(seconds / 4)
    control(fleet.other_url, mode="fine", min_ms=30, max_ms=100)
    time.sleep(seconds / 4)


if __name__ == "__main__":
    sys.exit(main())
