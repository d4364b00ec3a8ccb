"""The parts of a worker process that the watchdog watches, and how long each may stand still.

Without Redis, Celery's loop and the threads of queries wait for it, so they are only watched while it answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from worker.lifecycle.stillness import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from worker.decode.pool import DecodePool
    from worker.encode.batcher import Batcher
    from worker.lifecycle.state import ProcessState
    from worker.queries.lane import QueryLane
    from worker.store.mongo import MongoStore
    from worker.store.outage import ResilientStore

# Long enough for a busy machine: the slowest of these parts moves every 5 s, and every 20 s after Redis was lost.
RED_S = 45.0
END_S = 75.0
# A thread that has ended never comes back.
_DEAD_RED_S = 1.0
_DEAD_END_S = 5.0
# At least, beyond the time that all stages of a job may take together.
_MARGIN_S = 15.0
_NO_PROCESS = (
    "if it ends again and again, this host has too little memory, or too few processes or open files, for decoding "
    "processes (CLIPQUEUE_DECODE_PROCESSES, CLIPQUEUE_DECODE_MEMORY_BYTES), and a restart does not help"
)


class ModelCalls(Protocol):
    """A part that calls the model."""

    @property
    def is_broken(self) -> bool:
        """Whether this process can no longer run the model."""
        ...

    @property
    def running_calls(self) -> set[int]:
        """The serial numbers of the calls in progress."""
        ...


@dataclass(frozen=True)
class Watched:
    """What the watchdog watches.

    Attributes:
        state: What the parts of the process share.
        batcher: Its model threads must live, and take the images that wait.
        decoder: Its processes must start, and answer.
        mongo: Its event loop must turn.
        store: Knows which jobs wait for MongoDB.
        lane: Its threads must take queries; None without queries.
        decode_s: Seconds that an image may take to be decoded. A process that takes longer is replaced.
        encode_s: Seconds that a job waits for its vector at most.
        job_s: Seconds that all stages of a job may take together.
        visibility_timeout_s: A job that runs for longer hangs.
    """

    state: ProcessState
    batcher: Batcher
    decoder: DecodePool
    mongo: MongoStore
    store: ResilientStore
    lane: QueryLane | None
    decode_s: float
    encode_s: float
    job_s: float
    visibility_timeout_s: float

    def parts(self) -> list[Part]:
        """Return the parts, the most telling first."""
        callers: list[ModelCalls] = [self.batcher, self.lane] if self.lane else [self.batcher]
        return [
            *watch_model(callers, self.encode_s),
            Part("a model thread has been dead", self._dead_model, _DEAD_RED_S, _DEAD_END_S),
            Part("the model hangs: it has taken none of the images that wait", self._waiting, RED_S, END_S),
            Part("Celery's event loop hangs: it has not turned", self._loop, RED_S, END_S),
            Part("Celery's consumer has stopped: it has asked Redis for no job", self._consumer, RED_S, END_S),
            Part("the event loop of MongoDB's driver hangs: it has not turned", self._mongo, RED_S, END_S),
            Part(
                "the decoder hangs: no process has started or answered",
                self._decoder,
                max(RED_S, 3 * self.decode_s),
                max(END_S, 5 * self.decode_s),
                prod=self.decoder.try_out,
                advice=_NO_PROCESS,
            ),
            Part("a job hangs: it has run", self._jobs, self.job_s, self._job_end_s),
            *(self._watch_lane(self.lane) if self.lane else ()),
        ]

    def _watch_lane(self, lane: QueryLane) -> list[Part]:
        def turns() -> Iterable[Hashable]:
            return lane.standing if self.state.redis.is_fresh else []

        return [
            Part("the thread of queries has been dead", _flag(lambda: lane.is_dead), _DEAD_RED_S, _DEAD_END_S),
            Part("the thread of queries hangs: it has asked Redis for none", turns, RED_S, END_S),
            Part("a query hangs: its asker has given up", lambda: lane.late_pictures, self.job_s, self._job_end_s),
        ]

    @property
    def _job_end_s(self) -> float:
        return max(self.visibility_timeout_s, self.job_s + _MARGIN_S)

    def _dead_model(self) -> Iterable[Hashable]:
        return ["dead"] if self.batcher.dead_threads else []

    def _waiting(self) -> Iterable[Hashable]:
        # The calls in progress have a limit of their own.
        is_idle = not self.batcher.has_waiting or self.batcher.running_calls
        return [] if is_idle else [self.batcher.batches]

    def _loop(self) -> Iterable[Hashable]:
        is_due = self.state.loop.is_running and self.state.redis.is_fresh
        return [self.state.loop.ticks] if is_due else []

    def _consumer(self) -> Iterable[Hashable]:
        """While it has free slots, it asks at least every few seconds, also if the queue is empty."""
        state, asking = self.state, self.state.consumption.asking
        is_due = (
            state.loop.is_running
            and state.loop.consumes_images()
            and state.redis.is_fresh
            and not state.is_paused()
            and state.consumption.deliveries.held < asking.slots
        )
        return [asking.count] if is_due else []

    def _mongo(self) -> Iterable[Hashable]:
        return [self.mongo.turns]

    def _decoder(self) -> Iterable[Hashable]:
        return [self.decoder.answers] if self.decoder.is_awaited else []

    def _jobs(self) -> Iterable[Hashable]:
        """The jobs that run, without those that wait for MongoDB or for their turn, as long as that takes."""
        waiting = self.store.waiting | self.state.isolation.waiting
        running = self.state.consumption.deliveries.running_jobs
        return [tag for tag, thread in running.items() if thread not in waiting]


def watch_model(callers: Sequence[ModelCalls], encode_s: float) -> list[Part]:
    """Return the parts that watch the calls of a model.

    Args:
        callers: Those who call it.
        encode_s: Seconds that a job waits for its vector at most. A call that takes twice as long hangs.
    """

    def calls() -> Iterable[Hashable]:
        return [(index, call) for index, caller in enumerate(callers) for call in tuple(caller.running_calls)]

    return [
        Part(
            "the model is broken: this process cannot run it any more",
            _flag(lambda: any(caller.is_broken for caller in callers)),
            0,
            0,
        ),
        Part("a forward pass hangs: it has run", calls, 1.5 * encode_s, 2 * encode_s),
    ]


def _flag(is_set: Callable[[], bool]) -> Callable[[], Iterable[Hashable]]:
    return lambda: [True] if is_set() else []
