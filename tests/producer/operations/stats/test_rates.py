"""The rates of the workers, from one or two heartbeats of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from producer.client.workers import LiveWorker
from producer.operations.stats.rates import History, Rates
from producer.operations.stats.reading import Reading
from producer.operations.stats.sums import Sums
from tests.support.stats import worker_stats

if TYPE_CHECKING:
    from producer.contract.fields import WorkerHeartbeat

START_MS = 1_767_225_600_000


def beat(after_s: float, node: str = "celery@a", start_s: float = 0, /, **stats: Any) -> WorkerHeartbeat:
    """Return a heartbeat that a worker wrote some seconds after START_MS."""
    fields = {
        "node": node,
        "started_at": START_MS + int(1e3 * start_s),
        "at": START_MS + int(1e3 * after_s),
        "batch_size": 32,
        "model_threads": 2,
        "store_away": False,
    }
    return cast("WorkerHeartbeat", {**fields, "stats": worker_stats(**stats)})


def reading(*heartbeats: WorkerHeartbeat, at_s: float = 0, waiting: int = 0, delayed: int = 0) -> Reading:
    workers = tuple(LiveWorker(heartbeat, 0.0) for heartbeat in heartbeats)
    return Reading(START_MS / 1e3 + at_s, waiting, 0, delayed, 0, 0.0, 0.0, workers)


def test_one_heartbeat_gives_the_average_since_the_start() -> None:
    rates = Rates.of([(None, beat(100, done=500, failed=50, queries=10, cpu_s=150.0, fetched_bytes=10**6))])
    assert (rates.is_recent, rates.span_s, rates.workers) == (False, 100.0, 1)
    assert (rates.done, rates.failed, rates.ended, rates.queries) == (5.0, 0.5, 5.5, 0.1)
    assert (rates.cpus, rates.fetched_bytes) == (1.5, 10_000.0)
    assert rates.eta_s(reading(waiting=10)) is None


def test_two_heartbeats_give_the_rates_between_them() -> None:
    first = beat(100, done=500, latency=[500, 5000.0], stages={"fetch": [500, 50.0]}, errors={"http_404": 5})
    second = beat(
        110,
        done=600,
        skipped=20,
        batches=5,
        images=80,
        model_busy_s=5.0,
        latency=[600, 5200.0],
        stages={"fetch": [600, 70.0], "encode": [0, 0.0]},
        errors={"http_404": 5, "timeout": 2},
    )
    rates = Rates.of([(first, second)])
    assert (rates.is_recent, rates.span_s, rates.done, rates.skipped) == (True, 10.0, 10.0, 2.0)
    assert (rates.latency_s, rates.stages_s) == (2.0, {"fetch": 0.2})
    assert (rates.batch_images, rates.batch_fill, rates.model_busy) == (16.0, 0.5, 0.25)
    assert rates.errors == {"timeout": 2}
    assert rates.sums.done == 100
    assert rates.eta_s(reading(waiting=36)) == 3.0
    assert rates.eta_s(reading()) == 0.0


def test_rates_of_several_workers_add_up_although_their_times_differ() -> None:
    fast = (beat(0, "celery@a"), beat(10, "celery@a", done=100, batches=10, images=320))
    slow = (beat(0, "celery@b"), beat(20, "celery@b", done=20, batches=10, images=0))
    rates = Rates.of([fast, slow])
    assert (rates.done, rates.workers, rates.span_s, rates.batch_fill) == (11.0, 2, 20.0, 0.5)
    assert not Rates.of([fast, (None, slow[1])]).is_recent


def test_nobody_works_without_workers() -> None:
    rates = Rates.of([])
    assert (rates.workers, rates.ended, rates.latency_s, rates.batch_fill, rates.is_recent) == (
        0,
        0.0,
        None,
        None,
        False,
    )


def test_a_worker_of_an_earlier_version_has_no_figures() -> None:
    old: Any = {"node": "celery@old", "started_at": START_MS, "at": START_MS + 10_000}
    rates = Rates.of([(None, old), (old, old), (None, beat(10, done=10))])
    assert (rates.workers, rates.done) == (1, 1.0)
    upgraded = Rates.of([(old, beat(10, done=10))])
    assert upgraded.workers == 0, "what it had done before is unknown"


def test_history_keeps_the_last_two_heartbeats_that_differ() -> None:
    """Readings come every second or two, heartbeats every ten."""
    history = History()
    assert not history.add(reading(beat(100, done=100))).is_recent
    assert not history.add(reading(beat(100, done=100), at_s=1)).is_recent
    assert history.add(reading(beat(110, done=120), at_s=2)).done == 2.0
    assert history.add(reading(beat(110, done=120), at_s=3)).done == 2.0
    rates = history.add(reading(beat(120, done=170), at_s=4))
    assert (rates.done, rates.is_recent) == (5.0, True)


def test_a_worker_that_has_restarted_begins_anew() -> None:
    history = History()
    history.add(reading(beat(100, done=1000)))
    rates = history.add(reading(beat(130, "celery@a", 110, done=40)))
    assert (rates.done, rates.is_recent, rates.span_s) == (2.0, False, 20.0)
    assert rates.workers == 1
    assert history.add(reading()).workers == 0


@pytest.mark.parametrize("at_s", [50, 100])
def test_a_clock_that_is_set_back_gives_no_negative_rates(at_s: float) -> None:
    history = History()
    history.add(reading(beat(100, done=1000)))
    assert history.add(reading(beat(at_s, done=1010))).done >= 0
    assert history.add(reading(beat(at_s + 10, done=1020))).done in {1.0, 2.0}


def test_growth_is_that_of_the_last_two_readings() -> None:
    history = History()
    history.add(reading(waiting=100, delayed=50))
    assert history.growth is None
    history.add(reading(waiting=120, delayed=40, at_s=5))
    assert history.growth == 2.0
    history.add(reading(waiting=0, at_s=5))
    assert history.growth is None, "the clock of Redis was set back"


@pytest.mark.parametrize(
    "junk", [None, -1, 1e400, float("nan"), True, "5", [], {}, 10**400, [1], [1, 2, 3], "x" * 9999]
)
def test_junk_counts_as_nothing(junk: Any) -> None:
    for name in (*worker_stats(), "unknown"):
        stats = {**worker_stats(done=10), name: junk}
        heartbeat = cast("WorkerHeartbeat", {**beat(10), "stats": stats})
        rates = Rates.of([(None, heartbeat), (heartbeat, beat(20, done=30)), (beat(5), heartbeat)])
        assert 0 <= rates.done < 100
    junk_parts = beat(10, stages={"fetch": junk, "\n": [1, 2.0]}, latency=[junk, junk], errors={"http_404": junk})
    sums = Sums.of(junk_parts)
    assert sums
    assert (sums.errors, set(sums.stages)) == ({"http_404": 0.0}, {"check", "fetch", "decode", "encode", "save"})


def test_hostile_codes_are_few_and_short() -> None:
    rates = Rates.of([(None, beat(10, errors={f"{number}\n" + "x" * 1000: 1 for number in range(5000)}))])
    assert len(rates.errors) <= 200
    assert all(len(code) < 50 and code.isprintable() for code in rates.errors)


@pytest.mark.parametrize("sizes", [{"batch_size": 0, "model_threads": 0}, {"batch_size": -5, "model_threads": -1}])
def test_a_worker_without_sizes_has_no_shares(sizes: dict[str, int]) -> None:
    heartbeat = cast("WorkerHeartbeat", {**beat(10, batches=2, images=30, model_busy_s=3.0), **sizes})
    rates = Rates.of([(None, heartbeat)])
    assert (rates.batch_images, rates.batch_fill, rates.model_busy) == (15.0, None, None)


def test_impossible_sizes_are_no_error() -> None:
    heartbeat = cast("WorkerHeartbeat", {**beat(10, batches=2, images=30), "batch_size": 10**400})
    assert Rates.of([(None, heartbeat)]).batch_fill == pytest.approx(0, abs=0.01)


def test_sums_that_fall_count_as_nothing() -> None:
    rates = Rates.of([(beat(0, done=100, errors={"a": 5}), beat(10, done=50, errors={"a": 2}))])
    assert (rates.done, rates.errors) == (0.0, {})
