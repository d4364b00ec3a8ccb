"""Save the results of a complete run, and show them in docs/speed.md: `python -m tests.bench.results` updates it."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.bench.rows import Row, Target, table

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS = Path(__file__).with_name("results.json")
PAGE = Path(__file__).parents[2] / "docs" / "speed.md"
START, END = "<!-- results: `make docs` replaces this part -->", "<!-- end of results -->"


def keep(rows: Sequence[Row]) -> None:
    """Save the rows of a complete run with a description of the machine, and update the page."""
    results = {"machine": _machine(), "rows": [asdict(row) for row in rows]}
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    update_page()


def update_page() -> None:
    """Replace the table in docs/speed.md by the saved results."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{START}\n\n{render()}\n\n{END}{after}", encoding="utf-8")


def render() -> str:
    """Return the saved results as a Markdown table, followed by the machine."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    rows = [Row(**{**row, "target": Target(**row["target"])}) for row in results["rows"]]
    return f"{table(rows)}\n\n{results['machine']}"


def _machine() -> str:
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("torch", "open_clip_torch", "celery", "redis", "pillow")
    )
    return (
        f"{_cpu_model()}, {len(os.sched_getaffinity(0))} CPU cores, "
        f"{psutil.virtual_memory().total / 1024**3:.0f} GiB; {platform.system()}, Python {platform.python_version()}, "
        f"{packages}; {time.strftime('%Y-%m-%d', time.gmtime())}"
    )


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    update_page()
