"""Asks a Prometheus every query of the dashboard's JSON, as Grafana does."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.monitoring.dashboard import FILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.monitoring.prometheus import Prometheus, Series

_LABEL = re.compile(r"\{\{(\w+)\}\}")
# Grafana's window of a rate: four scrapes at least.
_SCRAPES = 4


@dataclass(frozen=True)
class Answer:
    """The answer to one query of a panel.

    Attributes:
        row: The title of the panel's row.
        panel: The panel's title.
        kind: The panel's type.
        unit: The panel's unit.
        width: The panel's columns, of 24.
        legend: The name of the series, with labels as `{{code}}`.
        query: The query with all variables replaced.
        series: What Prometheus answered.
    """

    row: str
    panel: str
    kind: str
    unit: str
    width: int
    legend: str
    query: str
    series: list[Series]

    def names(self) -> list[str]:
        """Return the name of each series, as the panel's legend shows it."""
        return [_name(self.legend, one["metric"]) for one in self.series]


def ask(prometheus: Prometheus, start: float, end: float, step: float) -> Iterator[Answer]:
    """Yield the answer to each query between two times."""
    row = ""
    for panel in json.loads(FILE.read_text())["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
            continue
        for target in panel["targets"]:
            query = substitute(target["expr"], prometheus.interval_s)
            yield Answer(
                row,
                panel["title"],
                panel["type"],
                panel["fieldConfig"]["defaults"]["unit"],
                panel["gridPos"]["w"],
                target["legendFormat"],
                query,
                prometheus.query_range(query, start, end, step),
            )


def _name(legend: str, labels: Mapping[str, str]) -> str:
    return _LABEL.sub(lambda found: labels.get(found[1], ""), legend).strip()


def substitute(query: str, interval_s: int) -> str:
    """Return a query with Grafana's variables replaced, with all workers chosen."""
    return query.replace("$__rate_interval", f"{_SCRAPES * interval_s}s").replace("$instance", ".*")
