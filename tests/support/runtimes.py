"""The table of runtimes and transports: which of them can enqueue by which. It is tested cell by cell.

`python -m tests.support.runtimes` writes it into docs/javascript.md.
"""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "javascript.md"
COMMAND = "python -m tests.support.runtimes"

RUNTIMES = {
    "node20": "Node 20",
    "node24": "Node 24",
    "workerd": "Cloudflare Workers",
    "edge": "Vercel Edge, Middleware",
}
TRANSPORTS = {
    "ioredis": "`ioredis`",
    "node-redis": "`redis`",
    "upstash": "`@upstash/redis`",
    "rest": "REST by `fetch`",
    "tcp": "`clipqueue/workers`",
    "api": "HTTP API",
}
_NO_TCP, _NOT_A_WORKER = "no: no TCP", "no: Workers only"
# What cannot work, with the reason.
NO = {
    ("node20", "tcp"): _NOT_A_WORKER,
    ("node24", "tcp"): _NOT_A_WORKER,
    ("edge", "ioredis"): _NO_TCP,
    ("edge", "node-redis"): _NO_TCP,
    ("edge", "tcp"): _NOT_A_WORKER,
}
CELLS = [(runtime, transport) for runtime in RUNTIMES for transport in TRANSPORTS]
_TABLE = re.compile(r"(?<=<!-- runtimes -->\n).*?(?=\n<!-- /runtimes -->)", re.DOTALL)


def render() -> str:
    """Return the table as Markdown."""
    head = ["", *TRANSPORTS.values()]
    rows = [[name, *(NO.get((key, transport), "yes") for transport in TRANSPORTS)] for key, name in RUNTIMES.items()]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def table_of_the_page() -> str:
    """Return the table that the page shows."""
    [table] = _TABLE.findall(PAGE.read_text())
    return str(table)


if __name__ == "__main__":
    PAGE.write_text(_TABLE.sub(lambda _: render(), PAGE.read_text()))
