"""Which messages this process holds unacked, and which acks, retries and requeues it has yet to send to Redis."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.broker import scripts
from worker.broker.due import DueTimes
from worker.telemetry.contact import Contact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import redis


def new_process_name() -> str:
    """Return a name for this process that no other process has."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


class Deliveries:
    """The delivery tags that this process holds unacked, across reconnects. Thread-safe.

    Attributes:
        has_pending: Whether anything was deferred since the last `flush` started.
        due_times: When the retries are due that were sent.
        redelivered: How many messages of lost workers this process has requeued.
    """

    def __init__(self) -> None:
        self.has_pending = False
        self.due_times = DueTimes()
        self.redelivered = 0
        self._lock = threading.Lock()
        self._unacked: set[str] = set()
        self._running: dict[str, int] = {}  # with their threads
        self._events: dict[str, bytes] = {}  # of jobs that have ended and are not acked yet
        self._acks: dict[str, bytes] = {}  # in the order of the acks, with their events
        self._delays: dict[str, scripts.Delay] = {}
        self._not_acked: set[str] = set()  # those of them whose threads have yet to end
        self._requeues: dict[bool, set[str]] = {True: set(), False: set()}  # by whether they go to the tail

    @property
    def tags(self) -> list[str]:
        """The tags of jobs that have not ended."""
        with self._lock:
            return list(self._unacked)

    @property
    def running_jobs(self) -> dict[str, int]:
        """The tags of the jobs that run, with the ids of their threads."""
        return self._running.copy()

    @property
    def held(self) -> int:
        """The number of jobs that this process holds or runs."""
        # Without the lock: who watches for threads that hang must not wait for one.
        return len(self._unacked.copy() | self._running.copy().keys())

    def __contains__(self, tag: str) -> bool:
        with self._lock:
            return tag in self._unacked

    def add(self, tag: str) -> None:
        """Add a delivery that Redis has recorded as unacked."""
        with self._lock:
            self._unacked.add(tag)

    @contextmanager
    def running(self, tag: str) -> Iterator[None]:
        """Show that a thread runs the job of a delivery."""
        self._running[tag] = threading.get_ident()
        try:
            yield
        finally:
            self._running.pop(tag, None)

    @property
    def running_count(self) -> int:
        """How many jobs run."""
        return len(self._running)

    def is_running(self, tag: str) -> bool:
        """Return whether a thread runs the job of a delivery, so that its ack or requeue will follow."""
        return tag in self._running

    def discard(self, tags: Iterable[str]) -> None:
        """Remove deliveries that are not unacked on Redis any more."""
        with self._lock:
            self._unacked.difference_update(tags)

    def ended(self, tag: str, event: bytes) -> None:
        """Note what is told about the job of a delivery when it is acked. It is forgotten if it is requeued."""
        with self._lock:
            self._events[tag] = event

    def defer_delay(self, tag: str, message: bytes, wait_s: float) -> None:
        """Replace a delivery, with the next `flush`, by a message that waits on Redis. Its ack is then ignored.

        An ack would lose the job if a failover had undone the move: the new primary may hold the old message.
        """
        with self._lock:
            self.has_pending = True
            self._delays[tag] = scripts.Delay(message, wait_s)
            self._unacked.discard(tag)
            if tag in self._running:
                self._not_acked.add(tag)

    def defer_ack(self, tag: str) -> None:
        """Ack a delivery with the next `flush`."""
        with self._lock:
            if tag in self._not_acked:
                self._not_acked.discard(tag)
                return
            self.has_pending = True
            self._acks.setdefault(tag, self._events.pop(tag, b""))
            self._unacked.discard(tag)

    def defer_requeue(self, tags: Iterable[str], *, at_tail: bool = False) -> None:
        """Requeue deliveries with the next `flush`, by default at the head of the queue."""
        with self._lock:
            self.has_pending = True
            pending = self._requeues[at_tail]
            pending.update(tags)
            self._unacked.difference_update(pending)
            for tag in pending & self._events.keys():
                del self._events[tag]

    def flush(self, redis: redis.Redis) -> None:
        """Send the deferred acks, retries and requeues.

        Raises:
            RedisError: Redis did not answer or refused a command. What may not have been sent stays deferred.
        """
        with self._lock:
            self.has_pending = False
            acks, delays = dict(self._acks), dict(self._delays)
            requeues = {at_tail: list(tags) for at_tail, tags in self._requeues.items()}
        if acks:
            if any(acks.values()):
                scripts.ack_ended(redis, acks)
            else:
                scripts.ack(redis, list(acks))
            with self._lock:
                for tag in acks:
                    self._acks.pop(tag, None)
        if delays:
            self._send_delays(redis, delays)
        for at_tail, tags in requeues.items():
            if tags:
                scripts.requeue(redis, tags, at_tail=at_tail)
                with self._lock:
                    self._requeues[at_tail].difference_update(tags)

    def _send_delays(self, redis: redis.Redis, delays: dict[str, scripts.Delay]) -> None:
        scripts.delay(redis, delays)
        with self._lock:
            for tag, delay in delays.items():
                self._delays.pop(tag, None)
                self.due_times.add(delay.wait_s)

    def extend_visibility(self, redis: redis.Redis) -> None:
        """Restart the visibility timeout of every delivery; drop those that were redelivered to another worker."""
        if tags := self.tags:
            self.discard(scripts.extend_visibility(redis, tags))


@dataclass
class Asking:
    """What the consumer does to get messages.

    Attributes:
        count: How often it has asked Redis for messages.
        slots: How many it may hold unacked, as Celery has told it last.
    """

    count: int = 0
    slots: int = 0


@dataclass(frozen=True, repr=False)
class ConsumerState:
    """State that the channels of one process share; kombu creates a new channel at each reconnect.

    Attributes:
        is_paused: Returns whether consumption is paused.
        asking: What the consumer does to get messages.
        redis: Notes when Redis answers the consumer.
        process: The name of this process on Redis.
    """

    is_paused: Callable[[], bool] = lambda: False
    deliveries: Deliveries = field(default_factory=Deliveries)
    asking: Asking = field(default_factory=Asking)
    redis: Contact = field(default_factory=Contact)
    process: str = field(default_factory=new_process_name)

    def __repr__(self) -> str:
        return f"the state of {self.process}"  # `celery inspect conf` and `report` show the transport options

    @property
    def processing_key(self) -> str:
        """The key of the list of messages that Redis has handed to this process, and that it has not taken yet."""
        return scripts.PROCESSING_KEY + self.process
