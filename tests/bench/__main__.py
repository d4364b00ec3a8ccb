"""`python -m tests.bench [NAME]`: runs every benchmark, or one; prints a table, and keeps it if it is whole."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from tests.bench import (
    against_tutorial,
    cold_start,
    decoding,
    end_to_end,
    enqueueing,
    gpu,
    latency,
    memory,
    overhead,
    starting,
)
from tests.bench.ground import Ground
from tests.bench.rows import table

if TYPE_CHECKING:
    from tests.bench.rows import Row

BENCHMARKS = {
    "end-to-end": end_to_end,
    "tutorial": against_tutorial,
    "decode": decoding,
    "enqueue": enqueueing,
    "cold-start": cold_start,
    "overhead": overhead,
    "latency": latency,
    "memory": memory,
    "start": starting,
    "gpu": gpu,
}
RESULTS = Path(__file__).with_name("results.json")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure clipqueue side by side.")
    parser.add_argument("name", nargs="?", choices=BENCHMARKS, help="run this one alone")
    name = parser.parse_args().name
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="clipqueue-bench-") as folder, Ground(Path(folder)) as ground:
        for one in [name] if name else BENCHMARKS:
            start = time.perf_counter()
            rows += BENCHMARKS[one].rows(ground)
            sys.stderr.write(f"{one}: {time.perf_counter() - start:.0f} s\n")
    sys.stdout.write(f"{table(rows)}\n")
    if not name:
        results = {"machine": _machine(), "rows": [asdict(row) for row in rows]}
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        sys.stdout.write(f"\nwritten to {RESULTS}\n")


def _machine() -> dict[str, Any]:
    return {
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 1024**3),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "open_clip_torch", "celery", "redis", "pillow")},
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
