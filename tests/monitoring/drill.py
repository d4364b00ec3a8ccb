"""`python -m tests.monitoring.drill --seed N`: a fault that nobody knows, to be found from alerts and dashboard alone.

It starts three workers, a sweep, the API, two image hosts, a load, and Prometheus with the rules of docs/monitoring.
At a time that it does not tell, it makes a fault that it does not tell. An operator looks meanwhile, from another
terminal, with `python -m tests.monitoring.look URL`, and writes down what is broken. The file `truth.json` tells it at
the end. With `--judge` it looks by itself: the exit code is 0 if an alert that names the place fired within two minutes
of the fault, and nothing fired before.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.monitoring.faults import FAULTS
from tests.monitoring.fleet import Fleet, Load
from tests.monitoring.prometheus import running_prometheus

if TYPE_CHECKING:
    from tests.monitoring.faults import Fault, Truth
    from tests.monitoring.prometheus import Prometheus

LIMIT_S = 120.0
_QUIET_S = (75.0, 150.0)
_RATE = 20.0


@dataclass(frozen=True)
class Verdict:
    """What the alerts showed.

    Attributes:
        before: The alerts that fired before the fault.
        named_after_s: The seconds from the fault until an alert named its place; None if none did.
        seen: The seconds from the fault until each alert fired for the first time.
    """

    before: list[str]
    named_after_s: float | None
    seen: dict[str, float]

    @property
    def is_good(self) -> bool:
        """Whether the fault was found in time, and nothing else was wrong before."""
        return not self.before and self.named_after_s is not None and self.named_after_s <= LIMIT_S


def main() -> int:
    """Run one drill and return the exit code."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="clipqueue-drill-"))
    chance = random.Random(options.seed)  # noqa: S311  (not a secret)
    kind = options.kind or chance.choice(list(FAULTS))
    with Fleet(folder) as fleet:
        fleet.start_all(3)
        with running_prometheus(folder, fleet.targets, options.interval) as prometheus, Load(fleet, _RATE):
            _print(f"Prometheus is at {prometheus.url}; logs are in {folder}")
            quiet_s = chance.uniform(*_QUIET_S)
            before, truth, seen = run(fleet, prometheus, FAULTS[kind], chance, quiet_s, ends_early=options.judge)
    verdict = judge(before, truth, seen)
    told = {"seed": options.seed, "kind": kind, "what": truth.what, **asdict(verdict)}
    (folder / "truth.json").write_text(json.dumps(told, indent=2) + "\n")
    _print(json.dumps(told, indent=2) if options.judge else f"the truth is in {folder / 'truth.json'}")
    return 0 if verdict.is_good or not options.judge else 1


Seen = list[tuple[dict[str, str], float]]


def run(
    fleet: Fleet, prometheus: Prometheus, fault: Fault, chance: random.Random, quiet_s: float, *, ends_early: bool
) -> tuple[Seen, Truth, Seen]:
    """Wait, make the fault, and watch the alerts; return what fired before, what was done, and what fired then.

    Args:
        fleet: What runs.
        prometheus: It scrapes the fleet.
        fault: What is broken.
        chance: It chooses how.
        quiet_s: Seconds until then.
        ends_early: End once an alert names the place.
    """
    before = _watch(prometheus, quiet_s, None)
    truth = fault(fleet, chance)
    return before, truth, _watch(prometheus, LIMIT_S, truth if ends_early else None)


def judge(before: Seen, truth: Truth, seen: Seen) -> Verdict:
    """Return how good the alerts were."""
    named = [after for labels, after in seen if truth.is_named_by(labels)]
    names = [" ".join(labels[key] for key in ("alertname", "code", "instance") if key in labels) for labels, _ in seen]
    first = dict(zip(names, (after for _, after in seen), strict=True))
    return Verdict([labels["alertname"] for labels, _ in before], min(named, default=None), first)


def _watch(prometheus: Prometheus, seconds: float, until: Truth | None) -> Seen:
    """Return the labels of each alert that fired, and after how many seconds; end once one names this fault."""
    start = time.monotonic()
    seen: Seen = []
    while (elapsed_s := time.monotonic() - start) < seconds:
        for alert in prometheus.firing():
            if alert["labels"] not in [labels for labels, _ in seen]:
                seen.append((alert["labels"], round(elapsed_s, 1)))
        if until and any(until.is_named_by(labels) for labels, _ in seen):
            break
        time.sleep(1)
    return seen


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.monitoring.drill", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same fault at the same time")
    parser.add_argument("--kind", choices=FAULTS, help="the kind of fault; by default the seed chooses")
    parser.add_argument("--interval", type=int, default=5, help="seconds between two scrapes; in production 15")
    parser.add_argument("--judge", action="store_true", help="look at the alerts, and print the truth and what fired")
    return parser.parse_args()


def _print(line: Any) -> None:
    print(line, flush=True)  # noqa: T201  (a command line)


if __name__ == "__main__":
    sys.exit(main())
