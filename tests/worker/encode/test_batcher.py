"""The batcher with an encoder that the test controls: batches form while it is busy, and failures stay apart."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.waiting import wait_for
from worker.encode.batcher import Batcher, Embedded, _Request
from worker.errors import BadVector, EncodeFailed, EncoderBroken, OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

POISON, NOT_FINITE, ZERO = 255, 254, 253


def pixels(value: int) -> NDArray[np.uint8]:
    return np.full((2, 2, 3), value, np.uint8)


class GatedEncoder:
    """Gives each image the vector (value, 1). Every batch waits until the gate opens."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.busy = threading.Semaphore(0)

    def encode(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        values = [int(value) for value in batch[:, 0, 0, 0]]
        self.batches.append(values)
        self.busy.release()
        assert self.gate.wait(60)
        if POISON in values:
            raise RuntimeError("the model cannot encode this")
        special = {NOT_FINITE: (np.nan, 1), ZERO: (0, 0)}
        return np.array([special.get(value, (value, 1)) for value in values], np.float32)


@pytest.fixture
def encoder() -> GatedEncoder:
    return GatedEncoder()


@pytest.fixture
def run(encoder: GatedEncoder) -> Iterator[Callable[[list[int]], list[Embedded | Exception]]]:
    """A function that embeds all values concurrently. The first one keeps the encoder busy until the others wait."""
    batcher = Batcher(encoder, max_batch_size=8, max_waiting=64, timeout_s=10)
    pool = ThreadPoolExecutor(64)

    def attempt(value: int) -> Embedded | Exception:
        try:
            return batcher.embed(pixels(value))
        except (EncodeFailed, BadVector) as exc:
            return exc

    def embed(values: list[int]) -> list[Embedded | Exception]:
        first = pool.submit(attempt, values[0])
        assert encoder.busy.acquire(timeout=60)
        others = [pool.submit(attempt, value) for value in values[1:]]
        wait_for(lambda: len(batcher._waiting) == len(others), "all others to wait")
        encoder.gate.set()
        return [first.result(), *(other.result() for other in others)]

    yield embed
    encoder.gate.set()
    batcher.close()
    pool.shutdown()


Run = Callable[[list[int]], list[Embedded | Exception]]


def test_a_batch_forms_while_the_model_is_busy(run: Run, encoder: GatedEncoder) -> None:
    """One image starts immediately and alone; the twelve that arrive meanwhile run in batches of eight and four."""
    results = run(list(range(13)))
    assert [len(batch) for batch in encoder.batches] == [1, 8, 4]
    assert sorted(value for batch in encoder.batches for value in batch) == list(range(13))
    for value, result in enumerate(results):
        assert isinstance(result, Embedded)
        assert result.vector.tolist() == [value, 1], "each image gets its own vector"


def test_an_image_that_the_model_fails_on_fails_alone(run: Run, encoder: GatedEncoder) -> None:
    results = run([1, 2, POISON, 3])
    assert [type(result) for result in results] == [Embedded, Embedded, EncodeFailed, Embedded]
    assert encoder.batches[2:] == [[value] for value in encoder.batches[1]]


@pytest.mark.parametrize("bad", [NOT_FINITE, ZERO])
def test_a_zero_or_non_finite_vector_is_rejected(bad: int, run: Run) -> None:
    results = run([1, 2, bad, 3])
    assert [type(result) for result in results] == [Embedded, Embedded, BadVector, Embedded]


def test_an_image_does_not_wait_forever(encoder: GatedEncoder) -> None:
    batcher = Batcher(encoder, max_batch_size=8, max_waiting=1, timeout_s=0.05)
    with pytest.raises(EncodeFailed, match=r"0\.05 s"):
        batcher.embed(pixels(1))
    encoder.gate.set()
    batcher.close()


def test_a_closed_batcher_accepts_no_image(encoder: GatedEncoder) -> None:
    encoder.gate.set()
    batcher = Batcher(encoder, max_batch_size=8, max_waiting=8, timeout_s=10)
    batcher.close()
    with pytest.raises(EncodeFailed, match="stopping"):
        batcher.embed(pixels(1))


def test_an_encoder_that_returns_too_few_vectors_fails_the_image_and_not_the_thread() -> None:
    class Short:
        def encode(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
            return np.ones((len(batch) - (batch[0, 0, 0, 0] == POISON), 2), np.float32)

    batcher = Batcher(Short(), max_batch_size=8, max_waiting=8, timeout_s=10)
    with pytest.raises(EncodeFailed):
        batcher.embed(pixels(POISON))
    assert len(batcher.embed(pixels(1)).vector) == 2
    batcher.close()


def test_closing_encodes_the_images_that_wait(encoder: GatedEncoder) -> None:
    batcher = Batcher(encoder, max_batch_size=1, max_waiting=8, timeout_s=10)
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(batcher.embed, pixels(value)) for value in range(4)]
        wait_for(lambda: len(batcher._waiting) == 3, "three to wait")
        encoder.gate.set()
        batcher.close()
        assert [len(one.result().vector) for one in waiting] == [2, 2, 2, 2]


class SmallEncoder(GatedEncoder):
    """Has memory for three images in a batch, and for no image of the value POISON."""

    def encode(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        if len(batch) > 3 or (batch[:, 0, 0, 0] == POISON).any():
            self.busy.release()
            assert self.gate.wait(60)
            raise OutOfMemory("no room")
        return super().encode(batch)


@pytest.mark.parametrize("encoder", [SmallEncoder()])
def test_a_batch_that_is_too_large_is_halved_and_later_ones_are_smaller(run: Run, encoder: GatedEncoder) -> None:
    results = run(list(range(17)))
    assert [type(result) for result in results] == [Embedded] * 17
    assert [len(batch) for batch in encoder.batches] == [1, 2, 2, 2, 2, 2, 2, 2, 2]


def test_the_batches_grow_again_when_the_memory_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.encode.batch_size._FULL_BATCHES", 2)
    encoder = GatedEncoder()
    encoder.gate.set()
    batcher = Batcher(encoder, max_batch_size=4, max_waiting=64, timeout_s=10)
    batcher._batch_size.shrink(4)

    for _ in range(2):
        requests = [_Request(pixels(1)) for _ in range(4)]
        with batcher._changed:
            batcher._waiting.extend(requests)
            batcher._changed.notify_all()
        assert all(request.future.result(60) for request in requests)
    batcher.close()
    assert [len(batch) for batch in encoder.batches] == [2, 2, 4]


@pytest.mark.parametrize("encoder", [SmallEncoder()])
def test_an_image_that_does_not_fit_alone_fails_alone(run: Run, encoder: GatedEncoder) -> None:
    results = run([1, 2, POISON, 3])
    assert [type(result) for result in results] == [Embedded, Embedded, EncodeFailed, Embedded]


def test_a_broken_encoder_gives_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    """The process ends instead, and another process gets the images."""

    class Broken:
        def encode(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
            raise EncoderBroken("CUDA error: an illegal memory access was encountered")

    batcher = Batcher(Broken(), max_batch_size=8, max_waiting=8, timeout_s=0.2)
    with pytest.raises(EncodeFailed, match=r"within 0\.2 s"):
        batcher.embed(pixels(1))
    assert batcher.is_broken
    assert "this process can no longer run the model: CUDA error" in caplog.text
    batcher.close()


def test_each_running_call_has_its_own_number(encoder: GatedEncoder) -> None:
    batcher = Batcher(encoder, max_batch_size=1, max_waiting=8, timeout_s=10, threads=2)
    assert not batcher.running_calls
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(batcher.embed, pixels(value)) for value in (1, 2, 3)]
        for _ in range(2):
            assert encoder.busy.acquire(timeout=60)
        assert batcher.running_calls == {0, 1}
        assert len(encoder.batches) == 2
        encoder.gate.set()
        assert [one.result().vector[0] for one in waiting] == [1, 2, 3]
    wait_for(lambda: not batcher.running_calls, "the last call to end")
    assert len(encoder.batches) == 3
    batcher.close()


def test_closing_ends_every_model_thread() -> None:
    encoder = GatedEncoder()
    encoder.gate.set()
    batcher = Batcher(encoder, max_batch_size=1, max_waiting=8, timeout_s=10, threads=3)
    batcher.close()
    assert not any(thread.is_alive() for thread in batcher._threads)
