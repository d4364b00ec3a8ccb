"""What a worker keeps: its memory after many images against after few, and at the peak of the largest ones."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from producer.cli.model import SMALL_MODEL
from tests.bench.rows import Row, Target, row
from worker.encode.cpus import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.ground import Ground, Worker

_FEW, _MANY = 1_000, 20_000
_SMALL, _LARGE = (224, 224), (4000, 3000)
_IN_FLIGHT = 64
_MIB = 1024**2
_LOOK_S = 0.02
# What Python and libjpeg need beside the pictures themselves.
_SPARE_BYTES = 64 * _MIB


def rows(ground: Ground) -> Iterator[Row]:
    """Measure the resident bytes of a worker and its decoding processes."""
    with ground.worker(SMALL_MODEL) as worker:
        ground.run_jobs(ground.photos_at(_SMALL), _FEW)
        few = worker.rss_bytes()
        for _ in range(_MANY // _FEW - 1):
            ground.run_jobs(ground.photos_at(_SMALL), _FEW)
        pairs = [(worker.rss_bytes() / _MIB, few / _MIB)]
    yield row("resident after 20,000 small images / after 1,000", "MiB", pairs, Target(most=1.03))
    yield _peak(ground)


def _peak(ground: Ground) -> Row:
    url = ground.photos_at(_LARGE)
    with ground.worker({**SMALL_MODEL, "CLIPQUEUE_CONCURRENCY": str(_IN_FLIGHT)}) as worker:
        ground.run_jobs(ground.photos_at(_SMALL), _IN_FLIGHT)
        idle = worker.rss_bytes()
        peak = _Peak(worker)
        ground.run_jobs(url, 6 * _IN_FLIGHT)
        pairs = [(peak.end() / _MIB, _bound(idle, ground.largest_file(_LARGE)) / _MIB)]
    return row("peak with 64 JPEGs of 12 megapixels in flight / the bound", "MiB", pairs, Target(most=1.0))


def _bound(idle: int, file: int) -> int:
    """Return the most bytes a worker may take.

    A job in flight holds its file twice while it is read (as it grows, and whole), and its pixels at the size of the
    model's input. A decoding process holds one file and one picture of four bytes a pixel, even if libjpeg could not
    shrink it on the way.
    """
    pixels = _LARGE[0] * _LARGE[1]
    processes = min(8, usable_cpus())  # as CLIPQUEUE_DECODE_PROCESSES has it
    return idle + _IN_FLIGHT * 2 * file + processes * (4 * pixels + 2 * file) + _SPARE_BYTES


class _Peak:
    """Looks at a worker's memory until `end`."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._highest = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> int:
        self._ended.set()
        self._thread.join()
        return self._highest

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_S):
            self._highest = max(self._highest, self._worker.rss_bytes())
