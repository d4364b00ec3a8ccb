"""Reads the parts of a collection and enqueues the jobs of the selected documents, in batches.

Each batch and the progress after it are stored in one transaction.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from producer.contract.errors import InvalidJob
from producer.contract.job import now_ms
from producer.operations.requeue.due import printable_id
from producer.operations.requeue.parts import parts_of, projection
from producer.operations.requeue.progress import Batch, WatchedJob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from producer.contract.records import Document
    from producer.documents.documents import ImageDocuments
    from producer.operations.requeue.checkpoint import Checkpoint
    from producer.operations.requeue.parts import Part
    from producer.operations.requeue.progress import Progress
    from producer.operations.requeue.selection import Selection
    from producer.operations.requeue.throttle import Throttle

WITHOUT_URL, UNUSABLE = "without a URL", "unusable"
_MAX_PROBLEMS = 5
_POLL_S = 0.1
# With an index it takes milliseconds. Without one, MongoDB reads all documents for it.
_FIND_MODELS_S = 20.0


@dataclass(frozen=True)
class BackfillOptions:
    """What to enqueue.

    Attributes:
        selection: Which documents are selected.
        query: A MongoDB query that they must match too.
        limit: Maximum number of jobs to enqueue; None is no limit.
        watch: Store the jobs on Redis, so that their results can be awaited.
    """

    selection: Selection
    query: Document
    limit: int | None
    watch: bool


class Backfill:
    """One pass over the documents.

    Args:
        documents: The collection.
        checkpoint: The checkpoint, already claimed.
        throttle: Limits the enqueued jobs.
        options: What to enqueue.
        report_full: Called once each time the pass has to wait because the queue is full.
        check_workers: Called again and again while the queue is full.

    Attributes:
        problems: The first few problems of unusable documents.
    """

    def __init__(  # noqa: PLR0913  (the parts that it connects)
        self,
        documents: ImageDocuments,
        checkpoint: Checkpoint,
        throttle: Throttle,
        options: BackfillOptions,
        report_full: Callable[[], object],
        *,
        check_workers: Callable[[], object] = lambda: None,
    ) -> None:
        self.problems: list[str] = []
        self._documents = documents
        self._checkpoint = checkpoint
        self._throttle = throttle
        self._options = options
        self._report_full = report_full
        self._check_workers = check_workers
        self._remaining = options.limit
        self._read_ms = 0

    def run(self, progress: Progress, report: Callable[[Progress], object]) -> None:
        """Enqueue the selected documents after `progress`, until all are handled or the limit is reached.

        Args:
            progress: The progress to continue from.
            report: Called with the new progress after each batch, and at the end.

        Raises:
            CheckpointLost: Another run with the same options has claimed the checkpoint, or Redis has lost it.
            BrokerUnavailable: Redis could not be reached.
            StoreUnavailable: MongoDB could not be reached.
        """
        progress = replace(progress, is_at_limit=False)
        self._read_ms = now_ms()
        for part in parts_of(self._options.selection, self._find_models, progress.part):
            if part.name < progress.part:
                continue
            for page in self._pages(part, progress):
                documents = deque(page)
                while documents:
                    if self._remaining == 0:
                        report(self._save_end(replace(progress, is_at_limit=True)))
                        return
                    progress = self._enqueue_batch(documents, replace(progress, part=part.name))
                    report(progress)
                # Set before the next page is read: its jobs may wait for capacity, and a job that a backend enqueues
                # meanwhile must win.
                self._read_ms = now_ms()
        report(self._save_end(replace(progress, is_complete=True)))

    def _pages(self, part: Part, progress: Progress) -> Iterator[list[Document]]:
        after = progress.after if part.name == progress.part else None
        return self._documents.pages(part.matching(self._options.query), part.fields, after)

    def _find_models(self) -> list[Any] | None:
        return self._documents.models(_FIND_MODELS_S)

    def _enqueue_batch(self, documents: deque[Document], progress: Progress) -> Progress:
        size = self._wait_for_capacity()
        batch = Batch()
        while documents and len(batch.jobs) < size:
            progress = self._add(documents.popleft(), batch, progress)
        self._checkpoint.save(progress, batch)
        self._throttle.consume(len(batch.jobs))
        if self._remaining is not None:
            self._remaining -= len(batch.jobs)
        return progress

    def _wait_for_capacity(self) -> int:
        """Return the maximum size of the next batch, once it is at least 1."""
        is_reported = False
        while not (available := self._throttle.available()):
            self._checkpoint.check_owner()
            if self._throttle.is_queue_full:
                self._check_workers()
                if not is_reported:
                    self._report_full()
                    is_reported = True
            time.sleep(_POLL_S)
        return available if self._remaining is None else min(available, self._remaining)

    def _add(self, document: Document, batch: Batch, progress: Progress) -> Progress:
        document_id = document["_id"]
        if not self._options.selection.includes(document):
            return progress.advance(document_id)
        try:
            job = self._options.selection.job_of(document, self._read_ms)
        except InvalidJob as exc:
            if len(self.problems) < _MAX_PROBLEMS:
                self.problems.append(f"{printable_id(document)}: {exc}")
            return progress.advance(document_id, unusable=1)
        if job is None:
            return progress.advance(document_id, without_url=1)
        batch.jobs.append(job)
        if self._options.watch:
            batch.watched.append(WatchedJob(document["_id"], job.enqueued_at_ms))
        return progress.advance(document_id, enqueued=1)

    def _save_end(self, progress: Progress) -> Progress:
        self._checkpoint.save(progress, Batch())
        return progress


def count_by_state(documents: ImageDocuments, options: BackfillOptions) -> tuple[Counter[str], int]:
    """Return the number of documents in each state, and the number of jobs that a backfill would enqueue now.

    Raises:
        StoreUnavailable: MongoDB could not be reached.
    """
    selection = options.selection
    states: Counter[str] = Counter()
    selected = 0
    for page in documents.pages(options.query, projection(selection.url_field)):
        for document in page:
            state = _state_of(document, selection)
            states[state] += 1
            selected += state not in (WITHOUT_URL, UNUSABLE) and selection.includes(document)
    return states, selected if options.limit is None else min(selected, options.limit)


def _state_of(document: Document, selection: Selection) -> str:
    try:
        job = selection.job_of(document, now_ms())
    except InvalidJob:
        return UNUSABLE
    return WITHOUT_URL if job is None else selection.state_of(document)
