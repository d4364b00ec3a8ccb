"""A new process that enqueues one image, as a serverless function does, against a bare LPUSH by redis-py."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.bench.rows import Target, in_turn, row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.bench import Bench
    from tests.bench.rows import Row

_ROUNDS = 31
# VmHWM starts with the program. The kernel's peak for a child (ru_maxrss) starts with the memory of its parent.
_REPORT = """
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
_OURS = """
import sys
from producer import EmbeddingClient
EmbeddingClient(sys.argv[1]).enqueue("img-1", "https://cdn.example.com/1.jpg")
"""
_THEIRS = """
import sys
import redis
redis.Redis.from_url(sys.argv[1]).lpush("images", b"x" * 700)
"""
_MIB = 1024  # the kernel counts KiB


def rows(bench: Bench) -> Iterator[Row]:
    """Measure the time and the peak memory of each process."""
    url = bench.stack.redis_url.removesuffix("0") + "9"
    for code in (_OURS, _THEIRS):
        _run(code, url)
    memory: list[tuple[float, float]] = []

    def run(code: str) -> float:
        took_s, peak_mib = _run(code, url)
        peaks.append(peak_mib)
        return took_s

    peaks: list[float] = []
    times = in_turn(_ROUNDS, lambda: run(_OURS), lambda: run(_THEIRS))
    for number, (first, second) in enumerate(zip(peaks[::2], peaks[1::2], strict=True)):
        memory.append((second, first) if number % 2 else (first, second))
    what = "a fresh process that enqueues one image / one LPUSH by redis-py"
    yield row(what, "s", times, Target(most=1.15))
    yield row(f"{what}, peak memory", "MiB", memory, Target(most=1.15))


def _run(code: str, url: str) -> tuple[float, float]:
    """Return the seconds from start to end, and the peak memory in MiB."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code + _REPORT, url], check=True, capture_output=True, text=True)
    return time.perf_counter() - start, int(done.stdout) / _MIB
