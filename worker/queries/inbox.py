"""The queries on Redis: takes them, and sends their answers."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from producer.contract.names import ANSWERS_TTL_MS, IMAGE_SUFFIX, QUERIES, QUERY_KEY
from producer.contract.queries import is_query_id
from producer.contract.text import printable
from worker.telemetry.contact import Contact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from producer.client.broker import Broker

logger = logging.getLogger(__name__)

# How long Redis waits for a query before it answers that there is none. Each wait is a command, which may cost money.
WAIT_S = 5.0
# How many more queries are taken from each list at once.
_MAX_MORE = 7
# The time to live of a query that another program has written without one.
_DEFAULT_TTL_MS = 60_000
_STOP_KEY = "clipqueue:query_stop:"
_STOP_TTL_S = 10
_WRONG_TYPE = "WRONGTYPE"
_NO_ANSWER = "did not answer"


@dataclass(frozen=True)
class Taken:
    """A query that this process must answer by `deadline`, in seconds of `time.monotonic`."""

    id: str
    raw: bytes
    deadline: float

    @property
    def left_s(self) -> float:
        """The seconds until the asker gives up."""
        return self.deadline - time.monotonic()


class Inbox:
    """Takes queries and sends answers. `take` is for one thread, the rest is thread-safe. All raise BrokerUnavailable.

    Args:
        broker: A connection to Redis of its own: `take` waits there.
        model: The model that answers.
        process: A name of this process that no other has.
        is_stopping: Whether no more queries may be taken.
        contact: Notes when Redis answers.
    """

    def __init__(
        self,
        broker: Broker,
        model: str,
        process: str,
        is_stopping: Callable[[], bool],
        contact: Contact | None = None,
    ) -> None:
        self._broker = broker
        self._lists = (f"{QUERIES}:{model}", QUERIES)
        self._stop_key = _STOP_KEY + process
        self._is_stopping = is_stopping
        self._contact = contact or Contact()
        # The wait must end before the connection's timeout, which the URL may set.
        self._wait_s = min(WAIT_S, float(broker.url.options.get("socket_timeout", 2 * WAIT_S)) / 2)

    def take(self) -> list[Taken]:
        """Wait a few seconds for queries, and take those that nobody has given up. Return an empty list without any."""
        with self._broker.commands(_NO_ANSWER) as redis:
            first: Any = redis.brpop([self._stop_key, *self._lists], self._wait_s)
        self._contact.note()
        if first is None or first[0].decode() == self._stop_key:
            return []
        source, query_id = first
        with self._broker.commands(_NO_ANSWER) as redis:
            if self._is_stopping():
                redis.rpush(source, query_id)
                return []
            # The first one with the lists in one round trip, since most queries come alone.
            pipeline = redis.pipeline(transaction=True)
            self._take_each([query_id], pipeline)
            for name in self._lists:
                pipeline.rpop(name, _MAX_MORE)
            *found, more, others = _execute(pipeline)
            if more_ids := [*(more or ()), *(others or ())]:
                self._take_each(more_ids, pipeline)
                found += _execute(pipeline)
        return _taken([query_id, *more_ids], found)

    def take_picture(self, query_id: str) -> bytes | None:
        """Return the uploaded picture of a query; None if its asker has given up."""
        with self._broker.commands(_NO_ANSWER) as redis:
            picture: Any = redis.getdel(QUERY_KEY + query_id + IMAGE_SUFFIX)
        return picture if isinstance(picture, bytes) else None

    def answer(self, answers: Sequence[tuple[str, bytes]]) -> None:
        """Send answers: pairs of the list that is answered to, and the answer."""
        if not answers:
            return
        with self._broker.commands("did not accept the answer") as redis:
            pipeline = redis.pipeline(transaction=False)
            for reply, body in answers:
                pipeline.rpush(reply, body)
            for reply in {reply for reply, _ in answers}:
                pipeline.pexpire(reply, ANSWERS_TTL_MS)
            pipeline.execute()

    def end_wait(self) -> None:
        """Make `take` return at once."""
        with self._broker.commands(_NO_ANSWER, within_s=1.0) as redis:
            pipeline = redis.pipeline(transaction=True)
            pipeline.lpush(self._stop_key, "stop")
            pipeline.expire(self._stop_key, _STOP_TTL_S)
            pipeline.execute()

    def close(self) -> None:
        """Close the connections."""
        self._broker.close()

    @staticmethod
    def _take_each(ids: Iterable[bytes], pipeline: Any) -> None:
        for query_id in ids:
            pipeline.pttl(QUERY_KEY.encode() + query_id)
            pipeline.getdel(QUERY_KEY.encode() + query_id)


def _execute(pipeline: Any) -> list[Any]:
    """Return the answers of a transaction; None for a key of another type, which must not cost the other queries."""
    answers = pipeline.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, Exception) and not str(answer).startswith(_WRONG_TYPE):
            raise answer
    return [None if isinstance(answer, Exception) else answer for answer in answers]


def _taken(ids: Sequence[bytes], found: Sequence[Any]) -> list[Taken]:
    now = time.monotonic()
    taken = []
    for raw_id, ttl_ms, raw in zip(ids, found[::2], found[1::2], strict=True):
        query_id = raw_id.decode(errors="replace")
        if not is_query_id(query_id):
            logger.warning("ignored a query whose id is not 16 to 64 hex digits: %s", printable(query_id))
        elif raw is not None:  # otherwise its asker has given up
            taken.append(Taken(query_id, raw, now + (ttl_ms if ttl_ms >= 0 else _DEFAULT_TTL_MS) / 1e3))
    return taken
