"""A worker's memory: after many images against after few, and its peak with the largest images."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from producer.cli.model import SMALL_MODEL
from tests.bench.rows import Row, Target, row
from worker.encode.cpus import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.bench import Bench, Worker

_FEW, _MANY = 1_000, 20_000
_SMALL, _LARGE = (224, 224), (4000, 3000)
_IN_FLIGHT = 64
_MIB = 1024**2
_POLL_S = 0.02
# The memory of Python and libjpeg in addition to the images.
_SPARE_BYTES = 64 * _MIB


def rows(bench: Bench) -> Iterator[Row]:
    """Measure the resident memory of a worker and its decoding processes."""
    with bench.worker(SMALL_MODEL) as worker:
        bench.run_jobs(bench.photos_at(_SMALL), _FEW)
        few = worker.rss_bytes()
        for _ in range(_MANY // _FEW - 1):
            bench.run_jobs(bench.photos_at(_SMALL), _FEW)
        pairs = [(worker.rss_bytes() / _MIB, few / _MIB)]
    yield row("resident after 20,000 small images / after 1,000", "MiB", pairs, Target(most=1.03))
    yield _peak(bench)


def _peak(bench: Bench) -> Row:
    url = bench.photos_at(_LARGE)
    with bench.worker({**SMALL_MODEL, "CLIPQUEUE_CONCURRENCY": str(_IN_FLIGHT)}) as worker:
        bench.run_jobs(bench.photos_at(_SMALL), _IN_FLIGHT)
        idle = worker.rss_bytes()
        peak = _Peak(worker)
        bench.run_jobs(url, 6 * _IN_FLIGHT)
        pairs = [(peak.end() / _MIB, _bound(idle, bench.largest_file(_LARGE)) / _MIB)]
    return row("peak with 64 JPEGs of 12 megapixels in flight / the bound", "MiB", pairs, Target(most=1.0))


def _bound(idle: int, file: int) -> int:
    """Return the maximum memory of a worker in bytes.

    A job in flight holds its file twice while it is downloaded (as a growing buffer and as the result), and pixels of
    the model's input size. A decoding process holds one file and one full-size image with four bytes per pixel.
    """
    pixels = _LARGE[0] * _LARGE[1]
    processes = min(8, usable_cpus())  # the default of CLIPQUEUE_DECODE_PROCESSES
    return idle + _IN_FLIGHT * 2 * file + processes * (4 * pixels + 2 * file) + _SPARE_BYTES


class _Peak:
    """Records the peak of a worker's memory in a thread, until `end`."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._peak_bytes = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> int:
        self._ended.set()
        self._thread.join()
        return self._peak_bytes

    def _run(self) -> None:
        while not self._ended.wait(_POLL_S):
            self._peak_bytes = max(self._peak_bytes, self._worker.rss_bytes())
