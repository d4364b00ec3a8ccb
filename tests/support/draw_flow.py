"""Draws docs/flow-light.svg and docs/flow-dark.svg: `python -m tests.support.draw_flow` writes them."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs"
LIGHT = {
    "text": "#1f2328",
    "muted": "#59636e",
    "line": "#59636e",
    "box": "#ffffff",
    "group": "#f6f8fa",
    "border": "#d1d9e0",
    "accent": "#0969da",
    "stage": "#ddf4ff",
    "ack": "#1a7f37",
}
DARK = {
    "text": "#f0f6fc",
    "muted": "#9198a1",
    "line": "#9198a1",
    "box": "#151b23",
    "group": "#11161d",
    "border": "#3d444d",
    "accent": "#4493f8",
    "stage": "#121d2f",
    "ack": "#3fb950",
}
STAGES = (
    ("fetch", "public hosts,", "size limit"),
    ("decode", "own process,", "CPU limit"),
    ("encode", "one batch,", "CLIP model"),
    ("store", "newest job", "wins"),
)
SANS = "-apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', Helvetica, Arial, sans-serif"
MONO = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def main() -> None:
    """Write both files."""
    for name, colors in (("light", LIGHT), ("dark", DARK)):
        (FOLDER / f"flow-{name}.svg").write_text(draw(colors), encoding="utf-8")


def draw(colors: dict[str, str]) -> str:
    """Return the diagram as SVG, 1000 x 470."""
    parts = [
        _head(colors),
        _box(16, 96, 176, 358),
        _text(104, 130, "Your backend", "name"),
        _text(104, 162, "enqueue(id, url)", "code"),
        _text(104, 263, "embed_text(query)", "code"),
        _text(104, 402, "search", "code"),
        _box(292, 96, 148, 212),
        _text(366, 130, "Redis", "name"),
        _text(366, 154, "list “images”", "code"),
        _text(366, 175, "durable queue", "note"),
        _text(366, 196, "retries wait here", "note"),
        _text(366, 263, "list “queries”", "code"),
        _text(366, 284, "with a deadline", "note"),
        _arrow("M192 144 H286"),
        _text(239, 134, "LPUSH", "note"),
        _box(520, 76, 464, 232, "group"),
        _text(646, 104, "Worker", "name start"),
        _text(968, 104, "as many as you like", "note end"),
        _arrow("M440 144 H514"),
        _text(477, 134, "consume", "note"),
        *_stages(),
        _box(520, 12, 118, 36),
        _text(579, 35, "Image host", "label"),
        _arrow("M579 48 V114"),
        _arrow("M446 206 H520", "ack", start=True),
        _text(480, 196, "ack after", "note ack-text"),
        _text(480, 224, "the write", "note ack-text"),
        _arrow("M198 258 H286", both=True),
        _text(239, 248, "vector", "note"),
        _arrow("M446 258 H526", both=True),
        _box(532, 240, 322, 52, "stage"),
        _text(693, 262, "query", "label"),
        _text(693, 281, "text or picture, ahead of all jobs", "note small"),
        _box(744, 346, 240, 108),
        _text(864, 374, "MongoDB", "name"),
        _text(762, 399, "_id: &quot;photo-1&quot;", "code start"),
        _text(762, 420, "embedding: [512 floats]", "code start"),
        _text(762, 441, "embedding_job: {…}", "code start"),
        _arrow("M921 220 V340"),
        _text(911, 330, "upsert, majority write", "note end"),
        _arrow("M192 398 H738", "line", start=True),
        _text(465, 388, "the images nearest to the vector", "note"),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _stages() -> list[str]:
    parts = []
    for number, (name, first, second) in enumerate(STAGES):
        left = 532 + 114 * number
        parts += [
            _box(left, 120, 94, 100, "stage"),
            _text(left + 47, 149, name, "label"),
            _text(left + 47, 176, first, "note small"),
            _text(left + 47, 194, second, "note small"),
        ]
        if number:
            parts.append(_arrow(f"M{left - 20} 170 H{left - 5}", "accent"))
    return parts


def _head(colors: dict[str, str]) -> str:
    markers = "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 z" fill="{colors[name]}"/></marker>'
        for name in ("line", "accent", "ack")
    )
    style = f"""
    text {{ font-family: {SANS}; fill: {colors["text"]}; text-anchor: middle; }}
    .name {{ font-size: 17px; font-weight: 600; }}
    .label {{ font-size: 15px; font-weight: 600; }}
    .note {{ font-size: 13px; fill: {colors["muted"]}; }}
    .small {{ font-size: 12px; }}
    .code {{ font-size: 13px; font-family: {MONO}; }}
    .start {{ text-anchor: start; }}
    .end {{ text-anchor: end; }}
    .ack-text {{ fill: {colors["ack"]}; }}
    .box {{ fill: {colors["box"]}; stroke: {colors["border"]}; stroke-width: 1.5; }}
    .group {{ fill: {colors["group"]}; stroke: {colors["border"]}; stroke-width: 1.5; }}
    .stage {{ fill: {colors["stage"]}; stroke: {colors["accent"]}; stroke-width: 1.5; }}
    path.line {{ stroke: {colors["line"]}; }}
    path.accent {{ stroke: {colors["accent"]}; }}
    path.ack {{ stroke: {colors["ack"]}; stroke-dasharray: 5 4; }}
    path.line, path.accent, path.ack {{ fill: none; stroke-width: 1.75; }}
  """
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 470" width="1000" height="470" role="img" '
        'aria-labelledby="title">\n<title id="title">The flow of a job: the backend pushes it to Redis, a worker '
        "fetches, decodes, encodes and stores, then acks. A worker answers queries with their vectors, and the backend "
        "searches MongoDB with them.</title>\n"
        f"<defs>{markers}<style>{style}</style></defs>"
    )


def _box(left: int, top: int, width: int, height: int, kind: str = "box") -> str:
    return f'<rect class="{kind}" x="{left}" y="{top}" width="{width}" height="{height}" rx="9"/>'


def _text(x: int, y: int, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{text}</text>'


def _arrow(path: str, kind: str = "line", *, start: bool = False, both: bool = False) -> str:
    """Return an arrow along a path; with `start`, its head is at the path's first point; with `both`, at both ends."""
    ends = ("marker-start", "marker-end") if both else ("marker-start" if start else "marker-end",)
    markers = " ".join(f'{end}="url(#{kind})"' for end in ends)
    return f'<path class="{kind}" d="{path}" {markers}/>'


if __name__ == "__main__":
    main()
