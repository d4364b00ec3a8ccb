"""The thread that watches over a worker process: it shows that the process lives, and ends it where it hangs."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.contract.errors import BrokerUnavailable
from producer.contract.job import now_ms
from producer.contract.names import HEARTBEAT_TTL_S, WORKER_KEY
from worker.broker import deliveries as holding

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from producer.client.broker import Broker
    from producer.contract.fields import WorkerHeartbeat
    from worker.broker.deliveries import Deliveries
    from worker.broker.processing_list import ProcessingList
    from worker.encode.batcher import Batcher
    from worker.lifecycle.drain import Drain
    from worker.store.outage import ResilientStore

logger = logging.getLogger(__name__)

_TICK_S = 1.0
_NOTE_S = 10.0
_KEEP_S = 2.0
# EX_SOFTWARE of sysexits.h: a supervisor starts it again.
_EXIT_CODE = 70


@dataclass(frozen=True)
class Watched:
    """What is watched: the parts of a worker process.

    Attributes:
        holdings: What the process has taken and not acked.
        hang_s: Seconds that one call of the model may take before the process counts as hanging.
        on_end: Called before the process ends itself.
    """

    store: ResilientStore
    batcher: Batcher
    drain: Drain
    taker: ProcessingList
    holdings: Deliveries
    hang_s: float
    on_end: Callable[[], None]


class Watch:
    """Watches until `close`; its own connection to Redis waits for nobody else's.

    Args:
        broker: Redis.
        watched: What is watched.
        about: What the process says of itself; `at` and `store_away` are filled in.
    """

    def __init__(self, broker: Broker, watched: Watched, about: WorkerHeartbeat) -> None:
        self._broker = broker
        self._watched = watched
        self._about = about
        self._wake = threading.Event()
        self._closing = False
        self._gives_back = False
        self._noted_at = self._kept_at = float("-inf")
        self._ticks: dict[int, int] = {}
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def give_back_and_end(self) -> None:
        """End the process at once, its jobs given back. Only sets a flag: called in a signal handler."""
        self._gives_back = True
        self._wake.set()

    def close(self) -> None:
        """Stop watching, and take back what was said on Redis."""
        self._closing = True
        self._wake.set()
        self._thread.join()
        with suppress(BrokerUnavailable), self._broker.commands("did not answer") as redis:
            self._sign_out(redis)
        self._broker.close()

    def _run(self) -> None:
        while not self._closing:
            if self._gives_back:
                self._give_back()
            try:
                self._look_at_the_model()
                self._tell_redis()
            except BrokerUnavailable:
                pass  # Celery's news: it reconnects, and says so
            except Exception:  # a defect of ours must not end what so much depends on
                logger.exception("the watch over this process met a defect, and goes on")
            self._wake.wait(_TICK_S)
            self._wake.clear()

    def _look_at_the_model(self) -> None:
        """End the process if the model is lost or hangs: its jobs are delivered to others.

        Counted in ticks and not by the clock, which goes on while a process is stopped.
        """
        batcher = self._watched.batcher
        if batcher.is_broken:
            self._end(_EXIT_CODE)
        self._ticks = {call: self._ticks.get(call, -1) + 1 for call in tuple(batcher.running_calls)}
        longest_s = max(self._ticks.values(), default=0) * _TICK_S
        if longest_s > self._watched.hang_s:
            logger.critical(
                "the model has not answered for %.0f s: this process ends, and its jobs are given to others", longest_s
            )
            self._end(_EXIT_CODE)

    def _tell_redis(self) -> None:
        now = time.monotonic()
        # First what only strikes off: a full Redis takes that alone.
        with self._broker.commands("did not answer") as redis:
            self._watched.holdings.settle(redis)
        # What waits for MongoDB, or for the end of the others, must not be given to another worker meanwhile.
        if (self._watched.store.is_away or self._watched.drain.has_begun) and now - self._kept_at >= _KEEP_S:
            with self._broker.commands("did not answer") as redis:
                self._watched.holdings.keep(redis)
            self._kept_at = now
        if now - self._noted_at >= _NOTE_S:
            self._note()
            self._noted_at = now

    def _note(self) -> None:
        note: WorkerHeartbeat = {**self._about, "at": now_ms(), "store_away": self._watched.store.is_away}
        with self._broker.commands("did not answer") as redis:
            redis.set(WORKER_KEY + note["node"], json.dumps(note), ex=HEARTBEAT_TTL_S)

    def _give_back(self) -> None:
        try:
            with self._broker.commands("did not answer") as redis:
                count = holding.give_back(redis, self._watched.holdings.tags)
                self._sign_out(redis)
            logger.warning("told to stop again: %d jobs are given back, unfinished", count)
        except BrokerUnavailable as exc:
            logger.warning("told to stop again; the jobs stay noted, to be given to others: %s", exc)
        finally:
            self._end(0)

    def _sign_out(self, redis: Redis) -> None:
        self._watched.holdings.settle(redis)
        self._watched.taker.sign_out(redis)
        redis.delete(WORKER_KEY + self._about["node"])

    def _end(self, code: int) -> None:
        self._watched.on_end()
        logging.shutdown()
        os._exit(code)
