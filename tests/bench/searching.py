"""A search that compares all vectors in memory, against numpy alone; and the search for near-duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.lines import Lines
from tests.bench.rows import Row, Target, in_turn, row
from tests.bench.scanning import DIM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.bench import Bench

_COUNTS = (10_000, 100_000, 200_000)
_ROUNDS = 5
_MODULE = "tests.bench.scanning"
# One core, as in a container with one.
_ENV = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_MOST_MS = 60.0
_COMPARED = 100_000
_MIB = 1024**2


def rows(_: Bench) -> Iterator[Row]:
    """Measure in a process with one thread for numpy."""
    for count in _COUNTS:
        yield from _scans(count)
    yield from _duplicates()


def _scans(count: int) -> Iterator[Row]:
    what = f"a search of {count:,} images in memory, one thread"
    with Lines(_MODULE, _ENV, str(count)) as scanning:
        pairs = in_turn(_ROUNDS, lambda: scanning.ask("scan")["ms"], lambda: scanning.ask("bare")["ms"])
        yield row(f"{what} / numpy's product and argpartition", "ms", pairs, Target(most=1.5))
        if count == max(_COUNTS):
            filtered = [(scanning.ask("filter")["ms"], theirs) for _, theirs in pairs]
            yield row(f"{what}, with a filter / the same", "ms", filtered, Target(most=1.5))
            yield row(f"{what} / {_MOST_MS:g} ms", "ms", [(ours, _MOST_MS) for ours, _ in pairs], Target(most=1.0))


def _duplicates() -> Iterator[Row]:
    what = f"near-duplicates of {_COMPARED:,} images, one thread"
    with Lines(_MODULE, _ENV, str(_COMPARED)) as scanning:
        found = scanning.ask("duplicates")
        products = scanning.ask("products")
    assert found["groups"] == _COMPARED // 100 - _COMPARED // 1000
    yield row(f"{what} / numpy's products alone", "s", [(found["wall_s"], products["wall_s"])], Target(most=1.5))
    added = [(found["peak_mib"] - found["before_mib"], 4 * DIM * _COMPARED / _MIB)]
    yield row(f"{what}, memory besides the vectors / the vectors", "MiB", added, Target(most=0.5))
