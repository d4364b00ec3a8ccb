"""Collects images in flight into batches for the threads that run the model.

No fixed wait: a batch is whatever has arrived when the model is free, and the next one forms while it runs.
Nothing else in the program knows about batching.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from worker.errors import BadVector, EncodeFailed, EncoderBroken, OutOfMemory

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)


class Encoder(Protocol):
    """Turns pixels into vectors, in as many threads at once as its batcher has."""

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return unit vectors of shape (n, dim) for uint8 pixels of shape (n, height, width, 3).

        Raises:
            OutOfMemory: So many images are too many at once.
            EncoderBroken: Only a new process can go on.
        """
        ...


@dataclass(frozen=True)
class Embedded:
    """One image's vector, float32 of shape (dim,), and the size of the batch it was computed in."""

    vector: NDArray[np.float32]
    batch_size: int


@dataclass(frozen=True)
class _Waiting:
    pixels: NDArray[np.uint8]
    future: Future[Embedded] = field(default_factory=Future)


class Batcher:
    """Feeds one encoder from many threads.

    Args:
        encoder: What is called.
        max_batch_size: Most images in one call of the encoder.
        max_waiting: Most images waiting; more block in `embed`.
        timeout_s: Seconds that one image may wait for its vector.
        threads: Most calls of the encoder at once.

    Attributes:
        is_broken: The encoder is lost to this process, and no image will have a vector any more.
        running_calls: The numbers of the calls of the encoder that run now.
    """

    def __init__(
        self, encoder: Encoder, *, max_batch_size: int, max_waiting: int, timeout_s: float, threads: int = 1
    ) -> None:
        self.is_broken = False
        self.running_calls: set[int] = set()
        self._numbers = itertools.count()
        self._encoder = encoder
        self._max_batch_size = max_batch_size
        self._timeout_s = timeout_s
        self._max_waiting = max_waiting
        self._waiting: deque[_Waiting] = deque()
        self._busy: set[int] = set()
        self._changed = threading.Condition()
        self._closing = False
        self._threads = [
            threading.Thread(target=self._run, args=(rank,), name="model", daemon=True) for rank in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def embed(self, pixels: NDArray[np.uint8]) -> Embedded:
        """Wait for the vector of one image; `pixels` is uint8 of shape (height, width, 3).

        Raises:
            EncodeFailed: The model failed on this image, or did not answer in time.
            BadVector: The vector is not finite or has no length.
        """
        waiting = _Waiting(pixels)
        ends = time.monotonic() + self._timeout_s
        try:
            self._enqueue(waiting)
            return waiting.future.result(ends - time.monotonic())
        except TimeoutError:
            waiting.future.cancel()
            raise EncodeFailed(f"the model gave no vector within {self._timeout_s:g} s") from None

    def close(self) -> None:
        """Finish what waits, then end the model's threads; one that hangs is left, as a daemon."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        ends = time.monotonic() + self._timeout_s
        for thread in self._threads:
            thread.join(max(0.0, ends - time.monotonic()))

    def _enqueue(self, waiting: _Waiting) -> None:
        with self._changed:
            has_room = self._changed.wait_for(
                lambda: self._closing or len(self._waiting) < self._max_waiting, self._timeout_s
            )
            if self._closing:
                raise EncodeFailed("the worker is stopping")
            if not has_room:
                raise TimeoutError
            self._waiting.append(waiting)
            self._changed.notify_all()

    def _run(self, rank: int) -> None:
        while batch := self._next_batch(rank):
            claimed = [waiting for waiting in batch if waiting.future.set_running_or_notify_cancel()]
            if claimed:
                self._encode(claimed)

    def _next_batch(self, rank: int) -> list[_Waiting]:
        """Wait for one image, then take what else has arrived; none when the batcher is being closed.

        A thread begins only while those before it are busy, so that a lone image is always the first one's.
        """
        with self._changed:
            self._busy.discard(rank)
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._busy.issuperset(range(rank)) if self._waiting else self._closing,
            )
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._max_batch_size))]
            self._busy.add(rank)
            self._changed.notify_all()
        return batch

    def _encode(self, batch: list[_Waiting]) -> None:
        try:
            vectors = self._call(batch)
        except OutOfMemory as exc:
            self._encode_smaller(batch, exc)
        except EncoderBroken as exc:
            self.is_broken = True  # its images are left without an answer: they are delivered to another worker
            logger.critical("the model is lost to this process: %s", exc)
        except Exception as exc:  # noqa: BLE001  (the edge of a model thread, which must outlive any batch)
            self._encode_alone(batch, exc)
        else:
            for waiting, vector in zip(batch, vectors, strict=True):
                _resolve(waiting.future, vector, len(batch))

    def _call(self, batch: list[_Waiting]) -> NDArray[np.float32]:
        number = next(self._numbers)
        self.running_calls.add(number)
        try:
            vectors = self._encoder.encode(np.stack([waiting.pixels for waiting in batch]))
        finally:
            self.running_calls.remove(number)
        if len(vectors) != len(batch):
            raise ValueError(f"{len(vectors)} vectors for {len(batch)} images")
        return vectors

    def _encode_smaller(self, batch: list[_Waiting], exc: OutOfMemory) -> None:
        half = len(batch) // 2
        if not half:
            logger.error("one image alone does not fit: %s", exc)
            batch[0].future.set_exception(EncodeFailed("the model has too little memory for one image"))
            return
        self._max_batch_size = min(self._max_batch_size, half)
        logger.warning("%d images at once are too many for the memory: from now on at most %d", len(batch), half)
        self._encode(batch[:half])
        self._encode(batch[half:])

    def _encode_alone(self, batch: list[_Waiting], exc: Exception) -> None:
        if len(batch) == 1:
            logger.error("the model failed on one image", exc_info=exc)
            batch[0].future.set_exception(EncodeFailed(f"the model failed on this image: {type(exc).__name__}"))
            return
        logger.warning("a batch of %d failed (%s); its images run alone", len(batch), exc)
        for waiting in batch:
            self._encode([waiting])


def _resolve(future: Future[Embedded], vector: NDArray[np.float32], batch_size: int) -> None:
    # A zero vector comes out of the normalisation as NaN or as zeros; either would poison a vector index.
    if np.isfinite(vector).all() and vector.any():
        future.set_result(Embedded(vector, batch_size))
    else:
        future.set_exception(BadVector("the model gave a vector that is not finite or has no length"))
