"""`python -m tests.monitoring.look URL`: the alerts that fire and the values of the panels, as text."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING

from tests.monitoring.ask import ask
from tests.monitoring.picture import show
from tests.monitoring.prometheus import Prometheus

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_SERIES = 6


def look(prometheus: Prometheus) -> Iterator[str]:
    """Yield the lines."""
    for alert in prometheus.firing():
        labels, texts = alert["labels"], alert["annotations"]
        yield f"FIRING {labels['alertname']} ({labels['severity']}): {texts['summary']}"
        yield f"       {texts['action']}"
    now = time.time()
    for answer in ask(prometheus, now, now, 1):
        numbers = [(name, float(one["values"][0][1])) for name, one in zip(answer.names(), answer.series, strict=True)]
        largest = sorted((one for one in numbers if math.isfinite(one[1])), key=lambda one: -one[1])[:_MAX_SERIES]
        shown = [f"{name} {show(number, answer.unit)}" for name, number in largest]
        yield f"{answer.row}, {answer.panel}: {', '.join(shown) or 'no data'}"


if __name__ == "__main__":
    for _line in look(Prometheus(sys.argv[1])):
        sys.stdout.write(_line + "\n")
