"""Collects the images in flight into batches for the threads that run the model.

There is no fixed wait: a free model thread takes all waiting images, up to the maximum batch size, and the next batch
forms while it runs. The pictures of queries go first, in a batch of their own.
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

from worker.encode.batch_size import BatchSize
from worker.encode.slack import Slack
from worker.errors import BadVector, EncodeFailed, EncoderBroken, OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

logger = logging.getLogger(__name__)


class Encoder(Protocol):
    """Turns pixels into vectors. Every model thread of the batcher may call it at the same time."""

    def encode(self, pixels: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """Return unit vectors of shape (n, dim) for uint8 pixels of shape (n, height, width, 3).

        Raises:
            OutOfMemory: The batch is too large for the device.
            EncoderBroken: This process can no longer run the model.
        """
        ...


@dataclass(frozen=True)
class Embedded:
    """An image's vector, float32 of shape (dim,), and the size of the batch that it was computed in."""

    vector: NDArray[np.float32]
    batch_size: int


@dataclass(frozen=True)
class _Request:
    """An image that waits for its vector."""

    pixels: NDArray[np.uint8]
    future: Future[Embedded] = field(default_factory=Future)


class Batcher:
    """Lets many threads share one encoder.

    Args:
        encoder: The model.
        max_batch_size: Maximum number of images in one call of the encoder. While the memory is short, it is less.
        max_waiting: Maximum number of images that wait; further callers block in `embed`.
        timeout_s: Seconds that one image may wait for its vector.
        threads: The number of model threads, and so of calls of the encoder at the same time.
        slack: Limits the batches of images in flight while queries arrive.
        note_call: Called after each call of the encoder with the number of its images and its seconds; the number is 0
            if it failed.

    Attributes:
        is_broken: Whether the encoder failed for good. Then no image gets a vector from this process any more.
        running_calls: The serial numbers of the encoder calls in progress.
        batches: The number of batches that were taken.
    """

    def __init__(  # noqa: PLR0913  (limits)
        self,
        encoder: Encoder,
        *,
        max_batch_size: int,
        max_waiting: int,
        timeout_s: float,
        threads: int = 1,
        slack: Slack | None = None,
        note_call: Callable[[int, float], object] = lambda _images, _seconds: None,
    ) -> None:
        self.is_broken = False
        self.running_calls: set[int] = set()
        self.batches = 0
        self._call_numbers = itertools.count()
        self._encoder = encoder
        self._batch_size = BatchSize(max_batch_size)
        self._timeout_s = timeout_s
        self._max_waiting = max_waiting
        self._slack = slack or Slack()
        self._note_call = note_call
        self._waiting: deque[_Request] = deque()
        self._first: deque[_Request] = deque()
        self._busy_threads: set[int] = set()
        self._changed = threading.Condition()
        self._is_closing = False
        self._threads = [
            threading.Thread(target=self._run, args=(index,), name="model", daemon=True) for index in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def dead_threads(self) -> int:
        """The number of model threads that have ended although the batcher is open."""
        return 0 if self._is_closing else sum(not thread.is_alive() for thread in self._threads)

    @property
    def has_waiting(self) -> bool:
        """Whether images wait for a model thread."""
        return bool(self._waiting or self._first)

    def embed(self, pixels: NDArray[np.uint8], *, first: bool = False) -> Embedded:
        """Wait for the vector of one image.

        Args:
            pixels: uint8 of shape (height, width, 3).
            first: Whether the image goes before all others, because a query waits for it.

        Raises:
            EncodeFailed: The model failed on this image, did not answer in time, or the worker is stopping.
            BadVector: The vector is zero or not finite.
        """
        request = _Request(pixels)
        deadline = time.monotonic() + self._timeout_s
        try:
            self._enqueue(request, first=first)
            return request.future.result(deadline - time.monotonic())
        except TimeoutError:
            request.future.cancel()
            raise EncodeFailed(f"the model returned no vector within {self._timeout_s:g} s") from None

    def close(self) -> None:
        """Encode the images that wait, then end the model threads. A daemon thread that hangs is abandoned."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        deadline = time.monotonic() + self._timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _enqueue(self, request: _Request, *, first: bool) -> None:
        with self._changed:
            has_room = self._changed.wait_for(
                lambda: self._is_closing or first or len(self._waiting) < self._max_waiting, self._timeout_s
            )
            if self._is_closing:
                raise EncodeFailed("the worker is stopping")
            if not has_room:
                raise TimeoutError
            (self._first if first else self._waiting).append(request)
            self._changed.notify_all()

    def _run(self, index: int) -> None:
        while batch := self._next_batch(index):
            if active := [request for request in batch if request.future.set_running_or_notify_cancel()]:
                self._encode(active)

    def _next_batch(self, index: int) -> list[_Request]:
        """Wait for an image, then take a batch of waiting images. Return an empty list when the batcher closes.

        A thread takes a batch only while all threads with a lower index are busy. So images that come one at a time
        always run in the first thread, and reuse its OpenMP threads.
        """
        with self._changed:
            self._busy_threads.discard(index)
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: (
                    self._busy_threads.issuperset(range(index)) if self._first or self._waiting else self._is_closing
                ),
            )
            size, source = self._batch_size.current, self._first
            if not source:
                size, source = self._slack.limit(size), self._waiting
            batch = [source.popleft() for _ in range(min(len(source), size))]
            self._busy_threads.add(index)
            self.batches += 1
            self._changed.notify_all()
        return batch

    def _encode(self, batch: list[_Request]) -> None:
        try:
            vectors = self._call(batch)
        except (OutOfMemory, MemoryError) as exc:
            self._encode_halves(batch, exc)
        except EncoderBroken as exc:
            self.is_broken = True  # this batch gets no answer: the process ends, and Redis redelivers its messages
            logger.critical("this process can no longer run the model: %s", exc)
        except Exception as exc:  # noqa: BLE001  (a model thread must survive every batch)
            self._encode_one_by_one(batch, exc)
        else:
            self._batch_size.note_success(len(batch))
            for request, vector in zip(batch, vectors, strict=True):
                _resolve(request.future, vector, len(batch))

    def _call(self, batch: list[_Request]) -> NDArray[np.float32]:
        number = next(self._call_numbers)
        self.running_calls.add(number)
        images, start = 0, time.perf_counter()
        try:
            vectors = self._encoder.encode(np.stack([request.pixels for request in batch]))
            if len(vectors) != len(batch):
                raise ValueError(f"{len(vectors)} vectors for {len(batch)} images")
            images = len(batch)
        finally:
            self.running_calls.remove(number)
            self._note_call(images, time.perf_counter() - start)
        return vectors

    def _encode_halves(self, batch: list[_Request], exc: OutOfMemory | MemoryError) -> None:
        half = self._batch_size.shrink(len(batch))
        if not half:
            logger.error("out of memory with a single image: %s", exc)
            batch[0].future.set_exception(EncodeFailed("the model has too little memory for a single image"))
            return
        self._encode(batch[:half])
        self._encode(batch[half:])

    def _encode_one_by_one(self, batch: list[_Request], exc: Exception) -> None:
        if len(batch) == 1:
            logger.error("the model failed on one image", exc_info=exc)
            batch[0].future.set_exception(EncodeFailed(f"the model failed on this image: {type(exc).__name__}"))
            return
        logger.warning("a batch of %d images failed (%s); retrying them one by one", len(batch), exc)
        for request in batch:
            self._encode([request])


def _resolve(future: Future[Embedded], vector: NDArray[np.float32], batch_size: int) -> None:
    # Normalising a zero vector gives NaN or zeros. Either would break searches in a vector index.
    if np.isfinite(vector).all() and vector.any():
        future.set_result(Embedded(vector, batch_size))
    else:
        future.set_exception(BadVector("the model returned a vector that is zero or not finite"))
