"""`python -m tests.chaos --minutes N --seed S`: a random schedule of faults during a steady stream of jobs.

It prints one line for each fault, waits until all jobs have ended, prints the report, and exits with 0 if there is no
problem, else with 1. `--jobs 50000` enqueues that many jobs at the start.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.cluster import FAKE, REAL, Cluster
from tests.chaos.faults import inject, restart_exited
from tests.chaos.ledger import Ledger
from tests.chaos.report import wait_for_report
from tests.chaos.schedule import make_schedule
from tests.chaos.stream import Stream

_QUIET_S = 300.0


def main() -> int:
    """Run the schedule that the options describe."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="clipqueue-chaos-"))
    _print(f"seed {options.seed}, logs in {folder}")
    with Cluster(folder, app=REAL if options.real else FAKE, replicated=True) as cluster:
        cluster.start_workers(*(f"w{number}" for number in range(1, options.workers + 1)))
        cluster.start_sweep()
        ledger = Ledger(cluster, f"seed{options.seed}")
        if options.jobs:
            ledger.enqueue(options.jobs, record=True)
        with Stream(ledger, options.rate) as stream:
            _run(cluster, options)
        _print(f"{stream.refused} enqueues failed and were repeated; waiting until all jobs have ended")
        report = wait_for_report(ledger, _QUIET_S + len(cluster.known_ids) / 20)
    _print(str(report))
    problems = report.problems()
    _print("; ".join(problems) or "no problem")
    return 1 if problems else 0


def _run(cluster: Cluster, options: argparse.Namespace) -> None:
    start = time.monotonic()
    for fault in make_schedule(options.seed, options.minutes):
        time.sleep(fault.pause_s)
        elapsed_s = time.monotonic() - start
        _print(f"{elapsed_s:7.1f} s  {inject(cluster, fault)}")
    restart_exited(cluster)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long faults inject")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same schedule")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rate", type=float, default=40.0, help="jobs per second")
    parser.add_argument("--jobs", type=int, default=0, help="jobs enqueued at the start, in addition to the stream")
    parser.add_argument("--real", action="store_true", help="run the small model instead of the fake encoder")
    return parser.parse_args()


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201  (a command line)


if __name__ == "__main__":
    sys.exit(main())
