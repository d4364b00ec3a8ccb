"""From the queue to the documents, against the model alone: how much of what the machine can do reaches the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.ground import Lines
from tests.bench.rows import Target, in_turn, row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.ground import Ground, Worker
    from tests.bench.rows import Row

_IMAGES = 800
_ROUNDS = 5
# What is asked of images/s, and of the processor's time, for each size of picture.
_TARGETS = {(640, 480): (0.80, 0.85), (1920, 1440): (0.70, 0.75)}


def rows(ground: Ground) -> Iterator[Row]:
    """Measure one worker against a loop that does nothing but run the model.

    The loop has ready pixels; the worker has servers beside it on the same processors. The second loop is fed as the
    worker feeds its model: in as many threads as there are processors, with one thread of PyTorch in each.
    """
    env = {**ground.stack.environment(), **ground.model}
    with (
        Lines("tests.bench.bare_loop", env, "1") as loop,
        Lines("tests.bench.bare_loop", env, "0") as threads,
        ground.worker(ground.model) as worker,
    ):
        for size, targets in _TARGETS.items():
            yield from _rows_of(ground, size, targets, worker, loop, threads)


def _rows_of(
    ground: Ground, size: tuple[int, int], targets: tuple[float, float], worker: Worker, loop: Lines, threads: Lines
) -> Iterator[Row]:
    url = ground.photos_at(size)
    ground.run_jobs(url, _IMAGES // 8)

    def ours() -> float:
        cpu_s = worker.cpu_s()
        per_s = _IMAGES / ground.run_jobs(url, _IMAGES)
        ours_cpu.append(_IMAGES / (worker.cpu_s() - cpu_s))
        return per_s

    def reference() -> float:
        cost = loop.ask(_IMAGES)
        loop_cpu.append(_IMAGES / cost["cpu_s"])
        both.append(_IMAGES / threads.ask(_IMAGES)["wall_s"])
        return float(_IMAGES / cost["wall_s"])

    ours_cpu: list[float] = []
    loop_cpu: list[float] = []
    both: list[float] = []
    by_clock = in_turn(_ROUNDS, ours, reference)
    by_cpu = list(zip(ours_cpu, loop_cpu, strict=True))
    by_threads = [(mine, theirs) for (mine, _), theirs in zip(by_clock, both, strict=True)]
    what = "{}x{} JPEGs end to end".format(*size)
    yield row(f"{what} / the model alone in a loop", "images/s", by_clock, Target(least=targets[0]))
    yield row(f"{what} / the same, worker's CPU", "images/CPU s", by_cpu, Target(least=targets[1]))
    yield row(f"{what} / the model alone in two threads", "images/s", by_threads)
