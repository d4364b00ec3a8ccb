"""From the queue to the documents, against forward passes alone: the share of the machine's speed that users get."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.lines import Lines
from tests.bench.rows import Target, in_turn, row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.bench import Bench, Worker
    from tests.bench.rows import Row

_IMAGES = 800
_ROUNDS = 5
# The target ratios of images/s and of images per CPU second, by image size.
_TARGETS = {(640, 480): (0.80, 0.85), (1920, 1440): (0.70, 0.75)}


def rows(bench: Bench) -> Iterator[Row]:
    """Measure one worker against loops that only run forward passes.

    The loops have their pixels in memory, while the worker shares the CPUs with its servers. The first loop runs one
    forward pass at a time. The second runs as many as the worker: one for each CPU, each with one PyTorch thread.
    """
    with bench.worker(bench.model) as worker:
        for size, targets in _TARGETS.items():
            yield from _rows_of(bench, size, targets, worker)


def _rows_of(bench: Bench, size: tuple[int, int], targets: tuple[float, float], worker: Worker) -> Iterator[Row]:
    url = bench.photos_at(size)
    bench.run_jobs(url, _IMAGES // 8)

    def ours() -> dict[str, float]:
        cpu_s, wall_s = worker.cpu_s(), bench.run_jobs(url, _IMAGES)
        return {"clock": _IMAGES / wall_s, "cpu": _IMAGES / (worker.cpu_s() - cpu_s), "threads": _IMAGES / wall_s}

    def reference() -> dict[str, float]:
        loop, threads = _alone(bench, "plain"), _alone(bench, "threads")
        return {
            "clock": _IMAGES / loop["wall_s"],
            "cpu": _IMAGES / loop["cpu_s"],
            "threads": _IMAGES / threads["wall_s"],
        }

    rounds = in_turn(_ROUNDS, ours, reference)
    pairs = {kind: [(mine[kind], theirs[kind]) for mine, theirs in rounds] for kind in ("clock", "cpu", "threads")}
    what = "{}x{} JPEGs end to end".format(*size)
    yield row(f"{what} / the model alone in a loop", "images/s", pairs["clock"], Target(least=targets[0]))
    yield row(f"{what} / the same, worker's CPU", "images/CPU s", pairs["cpu"], Target(least=targets[1]))
    yield row(f"{what} / the model alone in the worker's threads", "images/s", pairs["threads"])


def _alone(bench: Bench, how: str) -> dict[str, float]:
    # A new process each time, because one process may be 10 % faster than the next during its whole life.
    env = {**bench.stack.environment(), **bench.model}
    with Lines("tests.bench.bare_loop", env, how) as loop:
        loop.ask(_IMAGES // 8)
        return loop.ask(_IMAGES)
