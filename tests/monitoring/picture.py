"""Draws the answers to the dashboard's queries as one picture, laid out as Grafana would do it."""

from __future__ import annotations

import html
import io
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.monitoring.ask import Answer, ask
from tests.producer.page.conftest import CHROMIUM

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tests.monitoring.prometheus import Prometheus

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
_HEIGHT, _LEFT = 118, 46
_PX_PER_COLUMN = 65
_STEP_S = 5
_EMPTY = "<div style='height: 154px'>no data</div>"
_BINARY = {"bytes": "iB", "Bps": "iB/s"}


@dataclass(frozen=True)
class Period:
    """The time axis of all panels, in seconds since the epoch."""

    start: float
    end: float

    def x(self, at: float, width: int) -> float:
        """Return the place of a time in a panel."""
        return _LEFT + (at - self.start) / (self.end - self.start) * (width - _LEFT - 4)


def save(period: Period, prometheus: Prometheus, path: Path) -> None:
    """Draw all panels into one picture, with few colours, which is a fraction of the size and looks the same."""
    answers = list(ask(prometheus, period.start, period.end, _STEP_S))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        page.set_content(_page(answers, period))
        picture = page.screenshot(full_page=True)
        browser.close()
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


def _page(answers: list[Answer], period: Period) -> str:
    rows = []
    for row, of_row in groupby(answers, lambda answer: answer.row):
        panels = [_panel(list(of_panel), period) for _, of_panel in groupby(of_row, lambda answer: answer.panel)]
        rows.append(f"<h2>{html.escape(row)}</h2><div class=row>{''.join(panels)}</div>")
    return f"<!doctype html><style>{_STYLE}</style>{''.join(rows)}"


def _panel(answers: Sequence[Answer], period: Period) -> str:
    lines = [
        (name, [(at, float(value)) for at, value in one["values"] if value != "NaN"])
        for answer in answers
        for name, one in sorted(zip(answer.names(), answer.series, strict=True), key=lambda pair: pair[0])
    ]
    first = answers[0]
    width = first.width * _PX_PER_COLUMN
    if not any(line for _, line in lines):
        body = _EMPTY
    elif first.kind == "stat":
        body = f"<div class=stat>{show(lines[0][1][-1][1], first.unit)}</div>"
    elif first.kind == "state-timeline":
        body = _strips(lines, period, width)
    else:
        body = _graph(lines, first.unit, period, width)
    title = html.escape(first.panel)
    return f"<figure style='grid-column: span {first.width}'><figcaption>{title}</figcaption>{body}</figure>"


Line = tuple[str, list[tuple[float, float]]]


def _strips(lines: Sequence[Line], period: Period, width: int) -> str:
    """Return a strip for each line, where it has values."""
    strips = "".join(
        f"<rect x={period.x(at, width):.1f} y={24 * row} height=18 fill={color} "
        f"width={period.x(at + _STEP_S, width) - period.x(at, width) + 0.5:.1f} />"
        for row, (color, (_, line)) in enumerate(_colored(lines))
        for at, _ in line
    )
    return f"{_svg(strips, width)}{_legend(lines)}"


def _graph(lines: Sequence[Line], unit: str, period: Period, width: int) -> str:
    top = max(value for _, line in lines for _, value in line) * 1.05 or 1.0

    def y(value: float) -> float:
        return _HEIGHT - 6 - value / top * (_HEIGHT - 16)

    drawn = [
        f"<polyline fill=none stroke={color} points='"
        + " ".join(f"{period.x(at, width):.1f},{y(value):.1f}" for at, value in line)
        + "' />"
        for color, (_, line) in _colored(lines)
    ]
    axis = "".join(
        f"<line x1={_LEFT} x2={width} y1={y(at)} y2={y(at)} stroke='#2c3235' />"
        f"<text x=0 y={y(at) + 3} fill='#9fa7b3' font-size=11>{show(at, unit)}</text>"
        for at in (0.0, top / 2, top)
    )
    return f"{_svg(axis + ''.join(drawn), width)}{_legend(lines)}"


def _svg(content: str, width: int) -> str:
    return f"<svg viewBox='0 0 {width} {_HEIGHT}' preserveAspectRatio=none>{content}</svg>"


def _legend(lines: Sequence[Line]) -> str:
    names = (f"<b style='background: {color}'></b>{html.escape(name)}" for color, (name, _) in _colored(lines))
    return f"<div class=legend>{''.join(names)}</div>"


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
