"""The last whole run, as it is kept: `results.json`, which the README shows."""

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


def keep(rows: Sequence[Row]) -> None:
    """Write the rows of a whole run, and where they come from."""
    results = {"machine": _machine(), "rows": [asdict(row) for row in rows]}
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def shown() -> str:
    """Return what was kept, as the README shows it."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    rows = [Row(**{**row, "target": Target(**row["target"])}) for row in results["rows"]]
    return f"{table(rows)}\n\n{results['machine']}"


def _machine() -> str:
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("torch", "open_clip_torch", "celery", "redis", "pillow")
    )
    return (
        f"{_processor()}, {len(os.sched_getaffinity(0))} processors, "
        f"{psutil.virtual_memory().total / 1024**3:.0f} GiB; {platform.system()}, Python {platform.python_version()}, "
        f"{packages}; {time.strftime('%Y-%m-%d', time.gmtime())}"
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
