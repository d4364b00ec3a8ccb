"""The latency of a text query, idle and while the queue is flooded, and what queries cost the images."""

from __future__ import annotations

import os
import statistics
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from producer.contract.names import QUERY_WORKERS
from tests.bench.lines import Lines
from tests.bench.rows import Target, in_turn, row
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from contextlib import AbstractContextManager

    from tests.bench.bench import Bench
    from tests.bench.rows import Row

_SIZE = (640, 480)
_TEXTS = [
    f"a {color} {thing} in the {place}"
    for color in ("red", "old")
    for thing in ("car", "dog", "bicycle", "house")
    for place in ("snow", "street", "night", "garden", "rain")
]
_ROUNDS = 3
_FLOOD = 400  # images that wait at least while the queue is flooded
_WINDOW_S = 20.0
_TIMEOUT_S = 30.0
_BOTH, _QUERIES = {"CLIPQUEUE_SERVE": "images,queries"}, {"CLIPQUEUE_SERVE": "queries"}
_IMAGES = {"CLIPQUEUE_SERVE": "images"}


def rows(bench: Bench) -> Iterator[Row]:
    """Measure one query after the other, from the call to the vector."""
    with bench.worker({**bench.model, **_BOTH}):
        idle = yield from _idle(bench)
        flooded, rate, rate_with = _flooded(bench)
        yield row("text query in a flooded queue, p95 / p50 idle", "ms", [(flooded, idle)], Target(most=3))
        yield row("images while texts are asked all the time / without queries", "images/s", [(rate_with, rate)])
    if len(cores := sorted(os.sched_getaffinity(0))) > 1:
        yield _own_core(bench, set(cores[:-1]), {cores[-1]})


def _idle(bench: Bench) -> Generator[Row, None, float]:
    """Compare with loops in a process of their own; return the p50 in ms."""
    env = {**bench.stack.environment(), **bench.model}
    with Lines("tests.bench.bare_text", env, "cut") as cut, Lines("tests.bench.bare_text", env, "plain") as plain:

        def ours() -> list[float]:
            return [_ask(bench, text) for text in _TEXTS]

        def theirs(loop: Lines) -> list[float]:
            return [loop.ask(text)["wall_s"] for text in _TEXTS]

        for warm_up in (ours, lambda: theirs(cut), lambda: theirs(plain)):
            warm_up()
        against_cut = in_turn(_ROUNDS, ours, lambda: theirs(cut))
        against_plain = in_turn(1, ours, lambda: theirs(plain))
    for name, nth in (("p50", 50), ("p95", 95)):
        pairs = [(_percentile(mine, nth), _percentile(loop, nth)) for mine, loop in against_cut]
        yield row(
            f"text query on an idle worker, {name} / the same forward pass in a loop", "ms", pairs, Target(most=1.3)
        )
    pairs = [(_percentile(mine, 50), _percentile(loop, 50)) for mine, loop in against_plain]
    yield row("text query on an idle worker, p50 / open_clip's own forward pass in a loop", "ms", pairs)
    return _percentile([seconds for mine, _ in against_cut for seconds in mine], 50)


def _flooded(bench: Bench) -> tuple[float, float, float]:
    """Return the p95 of a query in ms, and the images/s without queries and with them."""
    with _flood(bench):
        rate = _rate_during(bench, lambda: time.sleep(_WINDOW_S))
        asked: list[float] = []
        rate_with = _rate_during(bench, lambda: asked.extend(_ask_all(bench)))
    return _percentile(asked, 95), rate, rate_with


def _own_core(bench: Bench, images: set[int], queries: set[int]) -> Row:
    """Measure a worker that serves queries only, on a core of its own."""
    with (
        _on(images, lambda: bench.worker({**bench.model, **_IMAGES}, "images")),
        _on(queries, lambda: bench.worker({**bench.model, **_QUERIES}, "queries")),
    ):
        wait_for(lambda: bench.broker.zcard(QUERY_WORKERS) == 1, "the worker that answers queries")
        idle = _percentile([_ask(bench, text) for text in _TEXTS], 50)
        with _flood(bench):
            flooded = _percentile(list(_ask_all(bench)), 95)
    what = "the same with a worker for queries on a core of its own, p95 / p50 idle"
    return row(what, "ms", [(flooded, idle)], Target(most=1.5))


@contextmanager
def _on(cores: set[int], start: Callable[[], AbstractContextManager[object]]) -> Iterator[None]:
    """Run a worker on some cores, which its processes inherit from this one."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        with start():
            os.sched_setaffinity(0, before)
            yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _flood(bench: Bench) -> Iterator[None]:
    """Keep images waiting until the block ends."""
    url, is_over = bench.photos_at(_SIZE), threading.Event()
    bench.empty_collection()

    def fill() -> None:
        number = 0
        while not is_over.is_set():
            if bench.queued() < _FLOOD:
                bench.client.enqueue_many(
                    (f"flood-{n}", f"{url}/{n}/photo.jpg") for n in range(number, number + _FLOOD)
                )
                number += _FLOOD
            is_over.wait(0.5)

    thread = threading.Thread(target=fill)
    thread.start()
    wait_for(lambda: bench.collection.count_documents({}), "the first images")
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        bench.broker.delete("images")
        bench.wait_until_idle()


def _rate_during(bench: Bench, run: Callable[[], object]) -> float:
    before, start = bench.collection.count_documents({}), time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    return (bench.collection.count_documents({}) - before) / seconds


def _ask_all(bench: Bench) -> Iterator[float]:
    """Ask for as long as a window lasts; yield the seconds of each query."""
    end, number = time.perf_counter() + _WINDOW_S, 0
    while time.perf_counter() < end:
        yield _ask(bench, _TEXTS[number % len(_TEXTS)])
        number += 1


def _ask(bench: Bench, text: str) -> float:
    start = time.perf_counter()
    bench.client.embed_text(text, timeout_s=_TIMEOUT_S)
    return time.perf_counter() - start


def _percentile(seconds: list[float], nth: int) -> float:
    return statistics.quantiles(seconds, n=100, method="inclusive")[nth - 1] * 1e3
