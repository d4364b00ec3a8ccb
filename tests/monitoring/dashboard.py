"""Makes docs/monitoring/grafana-dashboard.json: `python -m tests.monitoring.dashboard` writes it.

The fields are those of Grafana's classic JSON model, which file provisioning of Grafana 11 and 12 reads:
https://grafana.com/docs/grafana/v12.4/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.monitoring.panels import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.monitoring.panels import Panel

FILE = Path(__file__).parents[2] / "docs" / "monitoring" / "grafana-dashboard.json"
COMMAND = "python -m tests.monitoring.dashboard"
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS = 24
_HEIGHTS = {"stat": 4, "state-timeline": 5}
_HEIGHT = 8
_RESTARTS = 'changes(process_start_time_seconds{job=~"clipqueue.*"}[$__rate_interval]) > 0'


def render() -> str:
    """Return the dashboard as JSON."""
    dashboard = {
        "uid": "clipqueue",
        "title": "clipqueue",
        "tags": ["clipqueue"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": [_restarts()]},
        "templating": {"list": [_datasource(), _instance()]},
        "panels": list(_panels()),
    }
    return json.dumps(dashboard, indent=1) + "\n"


def _panels() -> Iterator[dict[str, Any]]:
    ids = count(1)
    x = y = height = 0
    for title, row in ROWS.items():
        y, x = y + height, 0
        place = {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
        yield {"id": next(ids), "type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": place}
        y, height = y + 1, 0
        for panel in row:
            if x + panel.width > _COLUMNS:
                x, y = 0, y + height
            height = _HEIGHTS.get(panel.kind, _HEIGHT)
            yield _panel(panel, next(ids), {"x": x, "y": y, "w": panel.width, "h": height})
            x += panel.width


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + at), "datasource": _SOURCE, "expr": query, "legendFormat": legend, "range": True}
        for at, (legend, query) in enumerate(panel.queries.items())
    ]
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.maximum is not None:
        defaults["max"] = panel.maximum
    if panel.kind == "timeseries":
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never"}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(panel.kind),
        "targets": targets,
    }


def _options(kind: str) -> dict[str, Any]:
    if kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "graphMode": "area"}
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": kind == "timeseries"}
    if kind == "state-timeline":
        return {"legend": legend, "showValue": "never", "mergeValues": True}
    return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1}


def _instance() -> dict[str, Any]:
    query = "label_values(clipqueue_jobs_in_flight, instance)"
    return {
        "name": "instance",
        "label": "Worker",
        "type": "query",
        "datasource": _SOURCE,
        "definition": query,
        "query": {"query": query, "refId": "instance"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _restarts() -> dict[str, Any]:
    return {
        "name": "Starts",
        "datasource": _SOURCE,
        "enable": True,
        "expr": _RESTARTS,
        "titleFormat": "{{job}} {{instance}} started",
        "iconColor": "orange",
    }


if __name__ == "__main__":
    FILE.write_text(render())
