"""Searches by comparing all vectors, which are kept in memory, in float32."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import numpy as np

from producer.search.candidates import SCORE_DIGITS, Candidate, Found
from producer.search.errors import SearchUnavailable
from producer.search.feed import Feed
from producer.search.query import SCAN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from producer.search.blocks import Block, Snapshot
    from producer.search.candidates import Target
    from producer.search.reader import VectorReader
    from producer.search.settings import SearchSettings

REFRESH_EVERY_S = 2.0
# A search waits this long for a refresh, and then uses the vectors of the last one; after a longer pause it waits more.
_WAIT_S = 0.1
_LONG_PAUSE_S = 30.0
_LONG_WAIT_S = 5.0
_MAX_TABLES = 2
_SAME = np.float32(2 * 10**-SCORE_DIGITS)


class ScanBackend:
    """Searches the tables of at most two models; a third one replaces the one used least recently. Thread-safe."""

    name = SCAN

    def __init__(self, reader: VectorReader, settings: SearchSettings) -> None:
        self._reader = reader
        self._settings = settings
        self._lock = threading.Lock()
        self._live: OrderedDict[tuple[str, int], LiveTable] = OrderedDict()

    def close(self) -> None:
        """Stop refreshes in the background."""
        with self._lock:
            for live in self._live.values():
                live.close()
            self._live.clear()

    def best(self, target: Target, count: int) -> Found:
        """Return the images with the highest scores.

        Raises:
            SearchUnavailable: There are more vectors than the settings allow.
            StoreUnavailable: MongoDB did not answer.
        """
        return nearest(self.snapshot(target.model, len(target.vector)), target, count)

    def snapshot(self, model: str, dim: int) -> Snapshot:
        """Return the current vectors of a model. Raises what `best` does."""
        with self._lock:
            live = self._live.get((model, dim))
            if live is None:
                live = LiveTable(Feed(self._reader, model, dim, self._settings))
                self._live[model, dim] = live
                if len(self._live) > _MAX_TABLES:
                    self._live.popitem(last=False)[1].close()
            self._live.move_to_end((model, dim))
        return live.current()


class LiveTable:
    """A table that is refreshed in a thread of its own while searches use it."""

    def __init__(self, feed: Feed, refresh_every_s: float = REFRESH_EVERY_S) -> None:
        self._feed = feed
        self._every_s = refresh_every_s
        self._lock = threading.Lock()
        self._executor = ThreadPoolExecutor(1, "clipqueue-search")
        self._refresh: Future[None] | None = None
        self._refreshed_at: float | None = None
        self._tried_at = 0.0
        self._took_s = 0.0

    def close(self) -> None:
        """Stop a refresh that is running."""
        with self._lock:
            self._feed.is_stopped = True
        self._executor.shutdown(wait=False, cancel_futures=True)

    def current(self) -> Snapshot:
        """Return the vectors, at most a few seconds old. The first call waits until they are loaded."""
        with self._lock:
            if self._feed.is_stopped:  # by a search of a third model, or because the process ends
                raise SearchUnavailable("the vectors were taken out of memory: search again")
            if self._refresh is None or (self._refresh.done() and self._is_due()):
                self._refresh = self._executor.submit(self._run)
            refresh, refreshed_at = self._refresh, self._refreshed_at
        if refreshed_at is not None:
            is_long_ago = time.monotonic() - refreshed_at > _LONG_PAUSE_S
            wait([refresh], _LONG_WAIT_S if is_long_ago else _WAIT_S)
        if refreshed_at is None or refresh.done():
            refresh.result()
        return self._feed.snapshot

    def _is_due(self) -> bool:
        # A slow server is asked less often.
        return time.monotonic() - self._tried_at >= max(self._every_s, 10 * self._took_s)

    def _run(self) -> None:
        started_at, self._took_s = time.monotonic(), 0.0
        try:
            self._feed.refresh()
            self._refreshed_at = time.monotonic()
            self._took_s = self._refreshed_at - started_at
        finally:
            self._tried_at = time.monotonic()


def nearest(snapshot: Snapshot, target: Target, count: int) -> Found:
    """Return the best `count` images and those that have the same score as the last of them, in order."""
    scores = _scores(snapshot, target)
    chosen = _highest(scores, count)
    starts = np.cumsum([0, *(block.count for block in snapshot.blocks)])
    owners = np.searchsorted(starts, chosen, side="right") - 1
    found = [
        _candidate(snapshot.blocks[owner], int(row - starts[owner]), float(scores[row]), target)
        for row, owner in zip(chosen, owners, strict=True)
    ]
    found.sort(key=lambda candidate: candidate.place)
    lowest = found[:count][-1].score if found else 0.0
    candidates = [candidate for candidate in found if candidate.score >= lowest]
    return Found(candidates, is_all=len(candidates) == np.count_nonzero(np.isfinite(scores)))


def _scores(snapshot: Snapshot, target: Target) -> NDArray[np.float32]:
    """Return the cosine for each row; minus infinity for dead rows and those that the filter leaves out."""
    scores = np.empty(sum(block.count for block in snapshot.blocks), np.float32)
    start = 0
    for block in snapshot.blocks:
        part = scores[start : start + block.count]
        np.dot(block.vectors[: block.count], target.vector, out=part)
        left_out = ~block.alive[: block.count]
        left_out |= ~snapshot.columns.mask(target.filter, block.codes[: block.count])
        part[left_out] = -np.inf
        start += block.count
    return scores


def _highest(scores: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Return the indices of the highest scores, and of all that may equal the lowest of them after rounding."""
    if count < len(scores):
        lowest = np.partition(scores, len(scores) - count)[len(scores) - count]
        return np.flatnonzero((scores >= lowest - _SAME) & np.isfinite(scores))
    return np.flatnonzero(np.isfinite(scores))


def _candidate(block: Block, index: int, score: float, target: Target) -> Candidate:
    vector = block.vectors[index] if target.with_vectors else None
    return Candidate(block.ids[index], round(score, SCORE_DIGITS), vector)
