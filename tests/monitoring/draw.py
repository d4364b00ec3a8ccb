"""Draws docs/monitoring.png: `python -m tests.monitoring.draw` runs workers, Prometheus and a load for some minutes.

Grafana is no part of the development environment. So this asks a real Prometheus the queries of the dashboard's JSON,
draws the answers as Grafana would lay them out, and lets Chromium make the picture.
"""

from __future__ import annotations

import html
import io
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.monitoring.ask import Answer, ask
from tests.monitoring.fleet import Fleet, Load, control
from tests.monitoring.prometheus import running_prometheus
from tests.producer.page.conftest import CHROMIUM

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PICTURE = Path(__file__).parents[2] / "docs" / "monitoring.png"
_COLORS = ("#7eb26d", "#eab839", "#6ed0e0", "#ef843c", "#e24d42", "#5f9ee9", "#ba43a9", "#a98fd6", "#8fbf5a", "#cc9b2c")
_STYLE = """
body { margin: 0; padding: 12px; width: 1576px; background: #111217; color: #ccccdc; font: 12px sans-serif; }
.row { display: grid; grid-template-columns: repeat(24, 1fr); gap: 8px; }
h2 { font-size: 14px; margin: 12px 0 6px; }
figure { margin: 0; padding: 8px; background: #181b1f; border: 1px solid #2c3235; border-radius: 3px; min-width: 0; }
figcaption { font-weight: 500; margin-bottom: 4px; }
.stat { font-size: 30px; color: #73bf69; padding: 6px 0; }
.legend { line-height: 1.5; height: 36px; overflow: hidden; }
.legend b { display: inline-block; width: 12px; height: 3px; margin: 0 4px 3px 10px; }
svg { display: block; width: 100%; height: 118px; }
"""
_WIDTH, _HEIGHT, _LEFT = 400, 118, 46
_BINARY = {"bytes": "iB", "Bps": "iB/s"}


def main() -> int:
    """Return the exit code: 0 if the picture was saved."""
    minutes = 5.0
    with tempfile.TemporaryDirectory() as folder, Fleet(Path(folder)) as fleet:
        fleet.start_all(3)
        with running_prometheus(Path(folder), fleet.targets) as prometheus:
            start = time.time()
            with Load(fleet, 30):
                _live(fleet, 60 * minutes)
            save(list(ask(prometheus, start, time.time(), 5)), PICTURE)
    return 0


def _live(fleet: Fleet, seconds: float) -> None:
    """Let the load run. In the middle, the second image host is slow for a while."""
    time.sleep(seconds / 2)
    control(fleet.other_url, mode="fine", min_ms=6000, max_ms=7000)
    time.sleep(seconds / 4)
    control(fleet.other_url, mode="fine", min_ms=30, max_ms=100)
    time.sleep(seconds / 4)


def save(answers: list[Answer], path: Path) -> None:
    """Draw all panels into one picture, with few colours, which is a fraction of the size and looks the same."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        page.set_content(_page(answers))
        picture = page.screenshot(full_page=True)
        browser.close()
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


def _page(answers: list[Answer]) -> str:
    rows = []
    for row, of_row in groupby(answers, lambda answer: answer.row):
        panels = [list(of_panel) for _, of_panel in groupby(of_row, lambda answer: answer.panel)]
        rows.append(f"<h2>{html.escape(row)}</h2><div class=row>{''.join(map(_panel, panels))}</div>")
    return f"<!doctype html><style>{_STYLE}</style>{''.join(rows)}"


def _panel(answers: Sequence[Answer]) -> str:
    lines = [
        (name, [(at, float(value)) for at, value in one["values"] if value != "NaN"])
        for answer in answers
        for name, one in sorted(zip(answer.names(), answer.series, strict=True), key=lambda pair: pair[0])
    ]
    first = answers[0]
    body = _stat(lines, first.unit) if first.kind == "stat" else _graph(lines, first.unit)
    title = html.escape(first.panel)
    return f"<figure style='grid-column: span {first.width}'><figcaption>{title}</figcaption>{body}</figure>"


Line = tuple[str, list[tuple[float, float]]]


def _stat(lines: Sequence[Line], unit: str) -> str:
    return f"<div class=stat>{show(lines[0][1][-1][1], unit) if lines else 'no data'}</div>"


def _graph(lines: Sequence[Line], unit: str) -> str:
    points = [point for _, line in lines for point in line]
    if not points:
        return "<div style='height: 154px'>no data</div>"
    start, end = min(at for at, _ in points), max(at for at, _ in points)
    top = max(value for _, value in points) * 1.05 or 1.0

    def place(at: float, value: float) -> str:
        x = _LEFT + (at - start) / max(end - start, 1) * (_WIDTH - _LEFT - 4)
        return f"{x:.1f},{_HEIGHT - 6 - value / top * (_HEIGHT - 16):.1f}"

    drawn = [
        f"<polyline fill=none stroke={color} points='{' '.join(place(*one) for one in line)}'/>"
        for color, (_, line) in _colored(lines)
    ]
    axis = "".join(
        f"<line x1={_LEFT} x2={_WIDTH} y1={y} y2={y} stroke='#2c3235'/><text x=0 y={y + 3} fill='#9fa7b3' "
        f"font-size=9>{show(top * share, unit)}</text>"
        for share in (0.0, 0.5, 1.0)
        for y in [_HEIGHT - 6 - share * (_HEIGHT - 16)]
    )
    legend = "".join(f"<b style='background: {color}'></b>{html.escape(name)}" for color, (name, _) in _colored(lines))
    size = f"viewBox='0 0 {_WIDTH} {_HEIGHT}' preserveAspectRatio='none'"
    return f"<svg {size}>{axis}{''.join(drawn)}</svg><div class=legend>{legend}</div>"


def _colored(lines: Sequence[Line]) -> Iterable[tuple[str, Line]]:
    return ((_COLORS[at % len(_COLORS)], line) for at, line in enumerate(lines))


def show(value: float, unit: str) -> str:
    """Return a value with its unit, short enough for an axis."""
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return f"{value * 1e3:.3g} ms" if 0 < value < 1 else f"{value:.3g} s"
    if unit in _BINARY:
        steps = max(0, min(3, (int(value).bit_length() - 1) // 10))
        return f"{value / 1024**steps:.3g} {['B', 'K', 'M', 'G'][steps]}{_BINARY[unit] if steps else ''}"
    return f"{value:.3g}" + {"ops": "/s", "reqps": "/s"}.get(unit, "")


if __name__ == "__main__":
    sys.exit(main())
