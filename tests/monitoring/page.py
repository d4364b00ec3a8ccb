"""Writes the tables of docs/monitoring.md: `python -m tests.monitoring.page`.

The alerts come from the rules, and the metrics with their texts from the code.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from tests.monitoring.metrics import described
from tests.monitoring.prometheus import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE = FOLDER.parent / "monitoring.md"
COMMAND = "python -m tests.monitoring.page"
_UNITS = {"humanizePercentage": "N %", "humanizeDuration": "some time"}
_VALUE = re.compile(r"\{\{ \$value(?: \| (\w+))? \}\}")
_LABEL = re.compile(r"\{\{ \$labels\.(\w+) \}\}")


def alerts() -> list[dict[str, Any]]:
    """Return the alert rules."""
    groups = yaml.safe_load((FOLDER / "clipqueue.rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def render(page: str) -> str:
    """Return the page with its tables written anew."""
    for name, table in (("alerts", _alerts()), ("metrics", _metrics())):
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = page.partition(begin)
        page = before + begin + table + end + rest.partition(end)[2]
    return page


def _alerts() -> str:
    rows = (
        (
            f"`{alert['alert']}`",
            alert["labels"]["severity"],
            alert.get("for", ""),
            _plain(alert["annotations"]["summary"]),
            _plain(alert["annotations"]["action"]),
        )
        for alert in alerts()
    )
    return _table(("Alert", "Severity", "After", "It says", "What to do"), rows)


def _metrics() -> str:
    parts = []
    for who, metrics in described().items():
        rows = (
            (f"`{one.name}`", one.kind, ", ".join(f"`{label}`" for label in one.labels), one.text) for one in metrics
        )
        parts.append(f"\n### {who}\n\n" + _table(("Metric", "Kind", "Labels", "What it tells"), rows))
    return "".join(parts) + "\n"


def _plain(text: str) -> str:
    """Return an annotation without its templates."""
    text = _VALUE.sub(lambda found: _UNITS.get(found[1], "N"), text)
    return _LABEL.sub(lambda found: found[1].upper(), text)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    return "".join("| " + " | ".join(row) + " |\n" for row in (head, ["---"] * len(head), *rows))


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text()))
