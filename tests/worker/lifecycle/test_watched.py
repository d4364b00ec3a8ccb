"""Each part that the watchdog watches: broken for real, it stands still; idle, waiting and working, it does not."""

from __future__ import annotations

import sys
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.support.decoding import LIMITS
from tests.support.waiting import wait_for
from worker.decode.pool import DecodePool, ProcessLimits
from worker.encode.batcher import Batcher
from worker.errors import DecodersBusy, EncodeFailed, EncoderBroken
from worker.lifecycle.state import ProcessState
from worker.lifecycle.watched import Watched
from worker.queries.lane import QueryLane
from worker.spec import PreprocessSpec
from worker.store.connection import _TURN_S
from worker.store.mongo import MongoStore
from worker.store.outage import ResilientStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from producer.local.stack import Stack

PIXELS = np.zeros((2, 2, 3), np.uint8)


class GatedEncoder:
    """Waits in each forward pass until `gate` is set, then calls `then`."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.then: Callable[[], object] = lambda: None

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.gate.wait()
        self.then()
        return np.ones((len(pixels), 4), np.float32)


@pytest.fixture
def encoder() -> Iterator[GatedEncoder]:
    encoder = GatedEncoder()
    yield encoder
    encoder.gate.set()


@pytest.fixture
def batcher(encoder: GatedEncoder) -> Iterator[Batcher]:
    batcher = Batcher(encoder, max_batch_size=1, max_waiting=8, timeout_s=5)
    yield batcher
    batcher.close()


@pytest.fixture
def decoder() -> Iterator[DecodePool]:
    pool = DecodePool(PreprocessSpec(8, 8), LIMITS, ProcessLimits(6, 2 * 1024**3, 30.0), processes=1)
    yield pool
    pool.close()


@pytest.fixture
def mongo(own: Stack) -> Iterator[MongoStore]:
    store = MongoStore(own.mongodb_uri, "images", call_s=5)
    yield store
    store.close()


@pytest.fixture
def state() -> ProcessState:
    state = ProcessState(40)
    state.redis.note()
    return state


@pytest.fixture
def watched(batcher: Batcher, decoder: DecodePool, mongo: MongoStore, state: ProcessState) -> Watched:
    store = ResilientStore(mongo, state.outage, state.drain)
    return Watched(
        state, batcher, decoder, mongo, store, None, decode_s=12, encode_s=12, job_s=57, visibility_timeout_s=80
    )


def stands(watched: Watched, problem: str) -> set[Any]:
    """Return what should move now, of the part with this problem."""
    (part,) = [part for part in watched.parts() if problem in part.problem]
    return set(part.standing())


def embed(batcher: Batcher) -> threading.Thread:
    """Embed an image in another thread, which may fail."""

    def run() -> None:
        with pytest.raises(EncodeFailed):
            batcher.embed(PIXELS)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_all_limits_leave_time_and_turn_the_health_red_within_a_minute(watched: Watched) -> None:
    limits = {part.problem: (part.red_s, part.end_s) for part in watched.parts()}
    assert all(red_s <= 60 and red_s <= end_s <= 80 for red_s, end_s in limits.values()), limits
    assert limits["a forward pass hangs: it has run"] == (18, 24), "a job waits at most 12 s for its vector"
    assert limits["a job hangs: it has run"] == (57, 80)


def test_a_forward_pass_stands_while_it_runs(watched: Watched, batcher: Batcher, encoder: GatedEncoder) -> None:
    batcher.embed(PIXELS)
    assert stands(watched, "a forward pass") == set()
    encoder.gate.clear()
    threading.Thread(target=batcher.embed, args=(PIXELS,), daemon=True).start()
    (call,) = wait_for(lambda: stands(watched, "a forward pass"), "the forward pass")
    assert stands(watched, "a forward pass") == {call}
    threading.Thread(target=batcher.embed, args=(PIXELS,), daemon=True).start()
    wait_for(lambda: batcher.has_waiting, "an image that waits")
    assert stands(watched, "the model hangs") == set(), "the forward pass has a limit of its own"
    encoder.gate.set()
    wait_for(lambda: call not in stands(watched, "a forward pass"), "the forward pass to end")


def test_a_lost_gpu_is_a_broken_model(watched: Watched, batcher: Batcher, encoder: GatedEncoder) -> None:
    def fail() -> None:
        raise EncoderBroken("CUDA error")

    assert stands(watched, "broken") == set()
    encoder.then = fail
    embed(batcher)
    wait_for(lambda: stands(watched, "broken"), "the model to be broken")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_model_thread_that_ended_is_dead_and_images_wait_for_it(
    watched: Watched, batcher: Batcher, encoder: GatedEncoder
) -> None:
    def end_thread() -> None:
        raise SystemExit

    assert stands(watched, "model thread") == set()
    encoder.then = end_thread
    embed(batcher)
    wait_for(lambda: stands(watched, "model thread"), "the thread to be dead")
    embed(batcher)
    (batches,) = wait_for(lambda: stands(watched, "the model hangs"), "an image that waits")
    assert stands(watched, "the model hangs") == {batches}
    batcher.close()
    assert stands(watched, "model thread") == set(), "it may end when the worker does"


def test_the_event_loop_of_the_store_turns_unless_it_hangs(watched: Watched, mongo: MongoStore) -> None:
    (turns,) = stands(watched, "MongoDB's driver")
    wait_for(lambda: turns not in stands(watched, "MongoDB's driver"), "the loop to turn")
    hangs, gate = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        gate.wait()

    mongo._connection.loop.call_soon_threadsafe(hang)
    hangs.wait()
    last = stands(watched, "MongoDB's driver")
    time.sleep(1.5 * _TURN_S)  # longer than it has between two turns
    assert stands(watched, "MongoDB's driver") == last
    gate.set()
    wait_for(lambda: stands(watched, "MongoDB's driver") != last, "the loop to turn")


def test_a_decoder_that_starts_no_process_stands_until_it_can_again(
    watched: Watched, decoder: DecodePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (part,) = [part for part in watched.parts() if "decoder" in part.problem]
    assert set(part.standing()) == set()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nonexistent/python")
        with pytest.raises(DecodersBusy, match="no decoding process can be started"):
            decoder.decode(b"any")
        part.prod()  # type: ignore[misc]
        assert set(part.standing()) == {0}
        assert "too little memory" in part.advice
    part.prod()  # type: ignore[misc]
    assert set(part.standing()) == set(), "no image came, but it works"


def test_a_file_that_crashes_its_process_leaves_a_decoder_that_can_show_that_it_works(
    watched: Watched, decoder: DecodePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(Exception, match="ended unexpectedly"):
            decoder.decode(b"any")
    assert stands(watched, "decoder")
    decoder.try_out()
    assert stands(watched, "decoder") == set()


@pytest.mark.parametrize(
    "reason", ["paused", "no slot is free", "Redis is silent", "it connects", "an operator said so", "none"]
)
def test_the_consumer_must_ask_unless_it_has_a_reason(reason: str, watched: Watched, state: ProcessState) -> None:
    state.loop.is_running = reason != "it connects"
    state.loop.consumes_images = lambda: reason != "an operator said so"
    state.consumption.asking.slots = 1
    if reason == "paused":
        state.outage.start()
    if reason == "no slot is free":
        state.consumption.deliveries.add("tag")
    if reason == "Redis is silent":
        state.redis._at = float("-inf")
    assert stands(watched, "consumer") == ({0} if reason == "none" else set())
    is_due = reason not in ("Redis is silent", "it connects")
    assert stands(watched, "Celery's event loop") == ({0} if is_due else set())
    state.outage.end()


def test_a_job_stands_while_it_runs_but_not_while_it_waits(watched: Watched, state: ProcessState) -> None:
    with state.consumption.deliveries.running("tag"):
        assert stands(watched, "a job") == {"tag"}
        watched.store.waiting.add(threading.get_ident())
        assert stands(watched, "a job") == set()
        watched.store.waiting.clear()
        state.isolation.waiting.add(threading.get_ident())
        assert stands(watched, "a job") == set()
        state.isolation.waiting.clear()
    assert stands(watched, "a job") == set()


def test_the_threads_of_queries_must_live_and_turn_while_redis_answers(watched: Watched, state: ProcessState) -> None:
    gate, texts = threading.Event(), SimpleNamespace(is_broken=False, running_calls=set())
    inbox = SimpleNamespace(take=lambda: gate.wait() and [], end_wait=gate.set, answer=list, close=lambda: None)
    pictures = SimpleNamespace(late=["id"], close=lambda _: None)
    parts: Any = (inbox, texts, pictures)
    lane = QueryLane(*parts, model="fake/model", slack=SimpleNamespace(), drain=state.drain)  # type: ignore[arg-type]
    queries = Watched(**{**vars(watched), "lane": lane})
    assert stands(queries, "the thread of queries has been dead")
    lane.start()
    assert stands(queries, "the thread of queries has been dead") == set()
    (turn,) = wait_for(lambda: stands(queries, "the thread of queries hangs"), "a turn")
    assert stands(queries, "the thread of queries hangs") == {turn}
    assert stands(queries, "a query hangs") == {"id"}
    state.redis._at = float("-inf")
    assert stands(queries, "the thread of queries hangs") == set()
    lane.close()
    assert stands(queries, "the thread of queries has been dead") == set()
