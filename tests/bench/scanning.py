"""`python -m tests.bench.scanning COUNT`: vectors of random images in memory, one line of input for each measurement.

`scan` and `filter` answer with the ms of a search, and `bare` with those of numpy alone. `duplicates` answers with the
seconds and the memory that finding near-duplicates took, and `products` with the seconds of its products alone.
"""

from __future__ import annotations

import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from producer.search.blocks import Row, Table
from producer.search.candidates import Target
from producer.search.duplicates import BATCH_ROWS, find_groups
from producer.search.filters import EVERYTHING, read_filter
from producer.search.scan import nearest
from tests.bench.lines import answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from producer.search.blocks import Snapshot
    from producer.search.filters import Filter
    from producer.search.vectors import Matrix, Vector

DIM = 512
_CHUNK = 1000
_HITS = 24
_SEARCHES = 15
_ALBUMS = 20
# Every so many images, one is almost the same as the one before.
_DUPLICATE_EVERY = 100


def main() -> None:
    """Answer until the input ends."""
    count = int(sys.argv[1])
    table = Table(DIM, ("album",))
    table.put(_rows(count))
    table.publish()
    snapshot = table.snapshot
    answer()
    for line in sys.stdin:
        kind = line.strip()
        if kind == "bare":
            matrix = np.concatenate([block.vectors[: block.count] for block in snapshot.blocks])
            answer(ms=_median_ms(partial(_bare, matrix)))
        elif kind == "products":
            answer(wall_s=_products_s(snapshot))
        elif kind == "duplicates":
            before = _memory_mib("VmRSS")
            start = time.perf_counter()
            groups = sum(len(batch) for batch in find_groups(snapshot, 0.97))
            wall_s = time.perf_counter() - start
            answer(groups=groups, wall_s=wall_s, peak_mib=_memory_mib("VmHWM"), before_mib=before)
        else:
            wanted = read_filter({"album": "a7"}, ("album",)) if kind == "filter" else EVERYTHING
            answer(ms=_median_ms(partial(_search, snapshot, wanted)))


def _rows(count: int) -> Iterator[Row]:
    random = np.random.default_rng(7)
    for start in range(0, count, _CHUNK):
        vectors = random.standard_normal((_CHUNK, DIM), np.float32)
        vectors[_DUPLICATE_EVERY::_DUPLICATE_EVERY] = 1.01 * vectors[_DUPLICATE_EVERY - 1 : -1 : _DUPLICATE_EVERY]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        for number, vector in enumerate(vectors, start):
            yield Row(f"photo-{number:08}", vector, 0, {"album": f"a{number % _ALBUMS}"})


def _median_ms(search: Callable[[Vector], object]) -> float:
    random = np.random.default_rng(8)
    times = []
    for vector in random.standard_normal((_SEARCHES, DIM), np.float32):
        unit = vector / np.linalg.norm(vector)
        start = time.perf_counter()
        search(unit)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def _bare(matrix: Matrix, vector: Vector) -> object:
    scores = matrix @ vector
    best = np.argpartition(scores, len(scores) - _HITS)[-_HITS:]
    return best[np.argsort(-scores[best])]


def _search(snapshot: Snapshot, wanted: Filter, vector: Vector) -> object:
    return nearest(snapshot, Target("m", vector, wanted, exact=True, with_vectors=False), _HITS)


def _products_s(snapshot: Snapshot) -> float:
    """Return the seconds for the products of each batch with the rows from its own on."""
    start = time.perf_counter()
    for number, block in enumerate(snapshot.blocks):
        for first in range(0, block.count, BATCH_ROWS):
            batch = block.vectors[first : min(first + BATCH_ROWS, block.count)]
            for other in snapshot.blocks[number:]:
                other.vectors[first if other is block else 0 : other.count] @ batch.T
    return time.perf_counter() - start


def _memory_mib(name: str) -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith(f"{name}:")) / 1024


if __name__ == "__main__":
    main()
