"""One reading of the whole queue: how many jobs there are, how old the oldest is, and which workers live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from producer.client.workers import read_workers
from producer.contract.names import DELAYED, IMAGE_QUEUE, PARKED_LIST, UNACKED
from producer.contract.redis_errors import is_failover
from producer.operations.oldest import NEXT, oldest_age_s

if TYPE_CHECKING:
    from redis import Redis

    from producer.client.broker import Broker
    from producer.client.workers import LiveWorker
    from producer.contract.fields import WorkerHeartbeat

# A message may have 256 KB. Of longer ones than these the age is not looked at, so that a reading stays small.
_MAX_MESSAGE_BYTES = 64 * 1024
# One command, so that the figures belong to one moment. ARGV: how many of the next messages, and their longest length.
_COUNTS = """
local next = redis.call('LRANGE', KEYS[1], -ARGV[1], -1)
next[#next + 1] = redis.call('LINDEX', KEYS[1], 0) or nil
for i, message in ipairs(next) do
    if #message > tonumber(ARGV[2]) then next[i] = '' end
end
local first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
return {redis.call('TIME'), redis.call('LLEN', KEYS[1]), redis.call('HLEN', KEYS[2]), redis.call('ZCARD', KEYS[3]),
    redis.call('LLEN', KEYS[4]), first[2] or '', next}
"""


@dataclass(frozen=True)
class Reading:
    """The state of the queue at one moment.

    Attributes:
        at_s: When it was read, in seconds since the epoch by the clock of Redis.
        waiting: Jobs on the queue.
        in_flight: Jobs that a worker has taken and not yet acked.
        delayed: Jobs that wait for their next attempt.
        parked: Messages that are no valid jobs, and wait for an operator.
        oldest_age_s: Seconds since the oldest waiting job was enqueued; 0 if none waits, None if no message tells.
        overdue_s: Seconds that the first delayed job has been due, without a worker that took it; 0 if none is due.
        workers: The live workers, sorted by node name.
        unreadable_workers: Workers whose heartbeat could not be read.
        memory_bytes: What Redis uses; None if it does not tell.
        max_memory_bytes: What Redis may use; None if it does not tell, or there is no limit.
    """

    at_s: float
    waiting: int
    in_flight: int
    delayed: int
    parked: int
    oldest_age_s: float | None
    overdue_s: float
    workers: tuple[LiveWorker, ...] = ()
    unreadable_workers: int = 0
    memory_bytes: int | None = None
    max_memory_bytes: int | None = None

    @property
    def jobs(self) -> int:
        """How many jobs have no result yet."""
        return self.waiting + self.in_flight + self.delayed

    @property
    def heartbeats(self) -> list[WorkerHeartbeat]:
        """The heartbeat of each worker."""
        return [worker.heartbeat for worker in self.workers]


class QueueReader:
    """Reads the state of the queue, with four commands. Safe to share between threads.

    Args:
        broker: The Redis of the queue.
        within_s: Seconds that all commands of one reading may take together.
    """

    def __init__(self, broker: Broker, within_s: float = 10.0) -> None:
        self._broker = broker
        self._within_s = within_s

    def read(self) -> Reading:
        """Return the state of the queue.

        Raises:
            BrokerUnavailable: Redis did not answer in time, or refused a command other than INFO.
        """
        with self._broker.commands("did not return the state of the queue", within_s=self._within_s) as redis:
            return _read(redis)


def _read(redis: Redis) -> Reading:
    keys, arguments = [IMAGE_QUEUE, UNACKED, DELAYED, PARKED_LIST], [NEXT, _MAX_MESSAGE_BYTES]
    (seconds, micros), waiting, in_flight, delayed, parked, first_due, messages = redis.register_script(_COUNTS)(
        keys, arguments
    )
    now_s = int(seconds) + int(micros) / 1e6
    live = read_workers(redis)
    used, limit = _read_memory(redis)
    age_s = oldest_age_s(messages, now_s) if waiting else 0.0
    return Reading(
        now_s,
        waiting,
        in_flight,
        delayed,
        parked,
        None if age_s is None else max(age_s, 0.0),
        _overdue_s(first_due, now_s),
        live.workers,
        live.unreadable,
        used,
        limit,
    )


def _overdue_s(due: bytes, now_s: float) -> float:
    """Return for how long a message has been due. Another program may have given it any time, such as `-inf`."""
    return min(max(now_s - float(due), 0.0), now_s) if due else 0.0


def _read_memory(redis: Redis) -> tuple[int | None, int | None]:
    """Return the bytes that Redis uses, and those that it may use. Hosted servers may refuse INFO, or hide either."""
    try:
        memory: Any = redis.info("memory")
    except ResponseError as exc:
        if is_failover(exc):
            raise
        return None, None
    used, limit = memory.get("used_memory"), memory.get("maxmemory")
    return used if type(used) is int else None, limit if type(limit) is int and limit > 0 else None
