"""`python -m tests.bench [NAME]` runs every benchmark or one, and prints a table. A full run is saved."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import (
    against_tutorial,
    cold_start,
    decoding,
    documents,
    end_to_end,
    enqueueing,
    gpu,
    javascript,
    latency,
    memory,
    overhead,
    queries,
    searching,
    starting,
    telemetry,
)
from tests.bench.bench import Bench
from tests.bench.results import keep
from tests.bench.rows import table

if TYPE_CHECKING:
    from tests.bench.rows import Row

BENCHMARKS = {
    "end-to-end": end_to_end,
    "tutorial": against_tutorial,
    "decode": decoding,
    "enqueue": enqueueing,
    "cold-start": cold_start,
    "javascript": javascript,
    "overhead": overhead,
    "telemetry": telemetry,
    "latency": latency,
    "queries": queries,
    "memory": memory,
    "search": searching,
    "start": starting,
    "documents": documents,
    "gpu": gpu,
}


def main() -> None:
    """Run the benchmarks that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure clipqueue next to references.")
    parser.add_argument("name", nargs="?", choices=BENCHMARKS, help="run only this one")
    name = parser.parse_args().name
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="clipqueue-bench-") as folder, Bench(Path(folder)) as bench:
        for one in [name] if name else BENCHMARKS:
            start = time.perf_counter()
            rows += BENCHMARKS[one].rows(bench)
            sys.stderr.write(f"{one}: {time.perf_counter() - start:.0f} s\n")
    sys.stdout.write(f"{table(rows)}\n")
    if not name:
        keep(rows)


if __name__ == "__main__":
    main()
