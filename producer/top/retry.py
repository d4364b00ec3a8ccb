"""Retries failures in a thread of its own, as `clipqueue retry` does, which also continues what is interrupted here."""

from __future__ import annotations

import shlex
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from producer.client.broker import Broker
from producer.contract.errors import ClipqueueError
from producer.contract.text import printable
from producer.documents.documents import open_documents
from producer.operations.requeue.patience import Patience
from producer.operations.requeue.retry import retry_options
from producer.operations.requeue.run import BackfillRun, identity_of
from producer.operations.requeue.throttle import Throttle
from producer.operations.workers import check_same_collection

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

    from producer.operations.requeue.progress import Progress

# As the option --max-queued has it by default.
_MAX_QUEUED = 10_000


@dataclass(frozen=True)
class Servers:
    """Where the queue and the documents are."""

    redis_url: str
    mongodb_uri: str
    collection: str


@dataclass(frozen=True)
class Asked:
    """What to retry: one image, or all images that failed with a code.

    Attributes:
        subject: What messages call it.
        code: The code as it is in the documents; None if one image is meant.
        document_ids: The `_id` of the one image; empty if all are meant.
    """

    subject: str
    code: Any = None
    document_ids: tuple[Any, ...] = ()


class Retry:
    """A retry.

    Args:
        servers: Where the queue and the documents are.
        asked: What to retry.
        tell: Called with a sentence each time that there is something to say; from the retry's thread.

    Attributes:
        enqueued: How many jobs have been enqueued.
    """

    def __init__(self, servers: Servers, asked: Asked, tell: Callable[[str], object]) -> None:
        self.enqueued = 0
        self._servers = servers
        self._asked = asked
        self._tell = tell
        # A daemon: each batch is one transaction, so it may be interrupted at any time.
        self._thread = threading.Thread(target=self._run, name="retry", daemon=True)

    @property
    def is_running(self) -> bool:
        """Whether it still enqueues."""
        return self._thread.is_alive()

    @property
    def interrupted(self) -> str:
        """What to say if the program ends before it."""
        asked = self._asked
        by_code = isinstance(asked.code, str) and not asked.document_ids
        go_on = f"clipqueue retry --code {shlex.quote(printable(asked.code))}" if by_code else "a retry here"
        return f"the retry of {asked.subject} was interrupted after {self.enqueued:,} jobs; {go_on} continues it"

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def _run(self) -> None:
        try:
            self._tell(self._retry())
        except ClipqueueError as exc:
            self._tell(f"the retry of {self._asked.subject} has stopped after {self.enqueued:,} jobs: {exc}")

    def _retry(self) -> str:
        servers, asked = self._servers, self._asked
        with (
            open_documents(servers.mongodb_uri, servers.collection) as documents,
            closing(Broker(servers.redis_url)) as broker,
        ):
            check_same_collection(broker, documents)
            query = {"_id": {"$eq": asked.document_ids[0]}} if asked.document_ids else {}
            # A text stands as it is in the query of `clipqueue retry --code` too, which so finds the same checkpoint.
            code = asked.code if isinstance(asked.code, str) else {"$eq": asked.code}
            options = retry_options(query, None if asked.document_ids else code)
            identity = identity_of(documents, options, ("retry", code if isinstance(code, str) else None))
            patience = Patience(broker, documents, self._tell)
            reporter = _Reporter(self, self._tell, asked.subject)
            run = BackfillRun(
                broker, documents, identity, Throttle(broker, _MAX_QUEUED, None), options, reporter, patience
            )
            run.run(restart=False)
        return reporter.result


class _Reporter:
    """Turns what a run reports into sentences."""

    def __init__(self, retry: Retry, tell: Callable[[str], object], subject: str) -> None:
        self.result = ""
        self._bar = _Bar(retry, tell, subject)
        self._subject = subject
        self._tell = tell

    def note(self, text: str) -> None:
        self._tell(text)

    def show_resumed(self, progress: Progress) -> None:
        self._tell(f"an earlier retry of {self._subject} is continued: it has enqueued {progress.enqueued:,}")

    def show_unwatched(self, jobs: int) -> None:
        """Nothing is watched here."""

    def show_queue_full(self) -> None:
        self._tell(f"{self._bar.so_far}; the queue is full, so it waits")

    def show_enqueued(self, progress: Progress, problems: list[str]) -> None:
        if progress.enqueued == progress.read == 1:
            self.result = f"enqueued {self._subject} again"
        elif progress.read:
            self.result = f"enqueued {progress.enqueued:,} of {self._subject} again"
        else:
            self.result = f"nothing was left to retry of {self._subject}"
        without = f"{progress.without_url:,} have no recorded URL" if progress.without_url else ""
        unusable = f"{progress.unusable:,} are no valid jobs: {printable('; '.join(problems))}" if problems else ""
        self.result = "; ".join(filter(None, (self.result, without, unusable)))

    def show_limit_reached(self) -> None:
        """There is no limit."""

    def show_results(self, results: Counter[str]) -> None:
        """Nothing is watched here."""

    @contextmanager
    def count_documents(self, start: int) -> Iterator[_Bar]:  # noqa: ARG002
        yield self._bar

    @contextmanager
    def count_jobs(self, total: int) -> Iterator[_Bar]:  # noqa: ARG002
        yield self._bar


class _Bar:
    """Says how many jobs a run has enqueued."""

    def __init__(self, retry: Retry, tell: Callable[[str], object], subject: str) -> None:
        self._retry = retry
        self._tell = tell
        self._subject = subject

    @property
    def so_far(self) -> str:
        return f"retrying {self._subject}: enqueued {self._retry.enqueued:,}"

    def show_enqueued(self, jobs: int) -> None:
        self._retry.enqueued = jobs

    def update(self, count: int) -> None:  # noqa: ARG002
        self._tell(self.so_far)
