"""The thread that takes queries and answers them. It has its own connection to Redis, beside Celery's.

A query needs no ack, no retry and no countdown, and must not wait behind the images in flight, so it is no Celery task.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from producer.contract.errors import BrokerUnavailable
from producer.contract.queries import BadRequest, Request, read_request
from worker.queries.replies import to_unreadable, with_code
from worker.telemetry.contact import Contact

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from worker.encode.slack import Slack
    from worker.lifecycle.drain import Drain
    from worker.queries.inbox import Inbox, Taken
    from worker.queries.pictures import PictureAnswers
    from worker.queries.replies import Reply
    from worker.queries.texts import TextAnswers

logger = logging.getLogger(__name__)

_PAUSE_S = 1.0
_JOIN_S = 12.0


class QueryLane:
    """Answers queries until the worker drains or `close` is called.

    Args:
        inbox: The queries on Redis.
        texts: Answers texts, in the lane's thread.
        pictures: Answers pictures, in other threads.
        model: The model's name.
        slack: Learns of each query.
        drain: While it lasts, no query is taken.
        redis: Notes when Redis answers.
    """

    def __init__(  # noqa: PLR0913  (the parts that it connects)
        self,
        inbox: Inbox,
        texts: TextAnswers,
        pictures: PictureAnswers,
        *,
        model: str,
        slack: Slack,
        drain: Drain,
        redis: Contact | None = None,
    ) -> None:
        self._inbox = inbox
        self._texts = texts
        self._pictures = pictures
        self._model = model
        self._slack = slack
        self._drain = drain
        self._redis = redis or Contact()
        self._closing = threading.Event()
        self._is_away = False
        self._turns = 0
        self._thread = threading.Thread(target=self._run, name="queries", daemon=True)

    @property
    def is_broken(self) -> bool:
        """Whether this process can no longer embed texts."""
        return self._texts.is_broken

    @property
    def running_calls(self) -> set[int]:
        """The serial numbers of the text encoder's calls in progress."""
        return self._texts.running_calls

    @property
    def is_dead(self) -> bool:
        """Whether the thread has ended although it should take queries."""
        return self.is_answering and not self.is_broken and not self._thread.is_alive()

    @property
    def standing(self) -> Iterable[Hashable]:
        """What changes while the thread moves; empty if it need not."""
        return [(self._turns, *self.running_calls)] if self.is_answering and not self.is_broken else []

    @property
    def late_pictures(self) -> list[str]:
        """The ids of the pictures that are still being embedded although their askers have given up."""
        return self._pictures.late

    @property
    def is_answering(self) -> bool:
        """Whether the lane takes queries."""
        return not self._closing.is_set() and not self._drain.is_draining

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Take no more queries, and wait for the answers to those that were taken."""
        self._closing.set()
        if self._thread.is_alive():
            with suppress(BrokerUnavailable):  # then the thread notices it a few seconds later
                self._inbox.end_wait()
            self._thread.join(_JOIN_S)
        self._pictures.close(_JOIN_S)
        self._inbox.close()

    def _run(self) -> None:
        while self.is_answering and not self.is_broken:
            self._turns += 1
            try:
                taken = self._inbox.take()
                self._redis.note()
                self._answer(taken)
                self._note(None)
            except BrokerUnavailable as exc:
                self._note(exc)
                self._closing.wait(_PAUSE_S)
            except Exception:  # no query may end the thread
                logger.exception("unexpected error with queries; the worker continues")
                self._closing.wait(_PAUSE_S)

    def _note(self, outage: BrokerUnavailable | None) -> None:
        """Log that Redis is away, or is back, once."""
        if outage and not self._is_away:
            logger.warning("no queries are taken until Redis answers: %s", outage)
        elif self._is_away and not outage:
            logger.warning("queries are taken again")  # whoever sees only warnings must see the end of an outage
        self._is_away = outage is not None

    def _answer(self, taken: Sequence[Taken]) -> None:
        if not taken:
            return
        self._slack.note_query()
        replies: list[Reply] = []
        texts: list[Request] = []
        for one, request in self._read(taken, replies):
            if request.query.kind == "text":
                texts.append(request)
            else:
                self._pictures.start(one, request)
        by_id = {one.id: one for one in taken}
        replies += self._texts.answer(texts)
        self._inbox.answer([(by_id[reply.query_id], reply) for reply in replies])

    def _read(self, taken: Sequence[Taken], replies: list[Reply]) -> Iterator[tuple[Taken, Request]]:
        """Yield the valid queries for this model. Add the replies to the others."""
        for one in taken:
            try:
                request = read_request(one.id, one.raw)
            except BadRequest as exc:
                if exc.reply is None:
                    logger.warning("query=%s dropped, because it names no list to answer to: %s", one.id, exc)
                    self._inbox.drop(one, "unknown", "failed")
                else:
                    replies.append(to_unreadable(one.id, exc.reply, str(exc)))
                continue
            wanted = request.query.model
            if wanted in (None, self._model):
                yield one, request
            else:
                message = f"this worker runs {self._model}, not {wanted}"
                replies.append(with_code(request, "wrong_model", "receive", message))
