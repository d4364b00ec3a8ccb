"""The queries on Redis: takes them, and sends their answers."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from producer.contract.names import ANSWERS_TTL_MS, IMAGE_SUFFIX, QUERIES, QUERY_KEY
from producer.contract.queries import is_query_id
from producer.contract.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from producer.client.broker import Broker
    from worker.queries.replies import Reply
    from worker.telemetry.figures import QueryKind, QueryOutcome

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
    """A query that this process must answer by `deadline`. Times are seconds of `time.monotonic`."""

    id: str
    raw: bytes
    deadline: float
    taken_at: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float:
        """The seconds until the asker gives up."""
        return self.deadline - time.monotonic()

    @property
    def age_s(self) -> float:
        """The seconds since it was taken."""
        return time.monotonic() - self.taken_at


class Inbox:
    """Takes queries and sends answers. `take` is for one thread, the rest is thread-safe. All raise BrokerUnavailable.

    Args:
        broker: A connection to Redis of its own: `take` waits there.
        model: The model that answers.
        process: A name of this process that no other has.
        is_stopping: Whether no more queries may be taken.
        note_end: Called at the end of each query with its kind, its outcome and the seconds since it was taken.
    """

    def __init__(
        self,
        broker: Broker,
        model: str,
        process: str,
        is_stopping: Callable[[], bool],
        note_end: Callable[[QueryKind, QueryOutcome, float], object] = lambda _kind, _outcome, _seconds: None,
    ) -> None:
        self._broker = broker
        self._lists = (f"{QUERIES}:{model}", QUERIES)
        self._stop_key = _STOP_KEY + process
        self._is_stopping = is_stopping
        self._note_end = note_end
        # The wait must end before the connection's timeout, which the URL may set.
        self._wait_s = min(WAIT_S, float(broker.url.options.get("socket_timeout", 2 * WAIT_S)) / 2)

    def take(self) -> list[Taken]:
        """Wait a few seconds for queries, and take those that nobody has given up. Return an empty list without any."""
        with self._broker.commands(_NO_ANSWER) as redis:
            first: Any = redis.brpop([self._stop_key, *self._lists], self._wait_s)
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
        return self._taken([query_id, *more_ids], found)

    def take_picture(self, query_id: str) -> bytes | None:
        """Return the uploaded picture of a query; None if its asker has given up."""
        with self._broker.commands(_NO_ANSWER) as redis:
            picture: Any = redis.getdel(QUERY_KEY + query_id + IMAGE_SUFFIX)
        return picture if isinstance(picture, bytes) else None

    def answer(self, answers: Sequence[tuple[Taken, Reply]]) -> None:
        """Send answers. The queries have failed if that raises."""
        is_sent = False
        try:
            if answers:
                self._send([reply for _, reply in answers])
            is_sent = True
        finally:
            for taken, reply in answers:
                is_answered = is_sent and reply.has_vector
                self.drop(taken, reply.kind, "late" if taken.left_s <= 0 else "answered" if is_answered else "failed")

    def drop(self, taken: Taken, kind: QueryKind, outcome: QueryOutcome) -> None:
        """Note the end of a query without sending anything."""
        self._note_end(kind, outcome, taken.age_s)

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

    def _send(self, replies: Sequence[Reply]) -> None:
        with self._broker.commands("did not accept the answer") as redis:
            pipeline = redis.pipeline(transaction=False)
            for reply in replies:
                pipeline.rpush(reply.to, reply.body)
            for name in {reply.to for reply in replies}:
                pipeline.pexpire(name, ANSWERS_TTL_MS)
            pipeline.execute()

    def _taken(self, ids: Sequence[bytes], found: Sequence[Any]) -> list[Taken]:
        now = time.monotonic()
        taken = []
        for raw_id, ttl_ms, raw in zip(ids, found[::2], found[1::2], strict=True):
            query_id = raw_id.decode(errors="replace")
            if not is_query_id(query_id):
                logger.warning("ignored a query whose id is not 16 to 64 hex digits: %s", printable(query_id))
            elif raw is None:
                self._note_end("unknown", "late", 0.0)  # its asker has given up
            else:
                taken.append(Taken(query_id, raw, now + (ttl_ms if ttl_ms >= 0 else _DEFAULT_TTL_MS) / 1e3))
        return taken

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
