"""Streams the documents of a collection and queues the jobs of those that are wanted, a move of the bookmark each."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from producer.contract.errors import InvalidJob
from producer.contract.job import now_ms
from producer.contract.records import job_record, to_ms
from producer.operations.requeue.due import shown_id
from producer.operations.requeue.progress import Followed, Page
from producer.operations.requeue.selection import fields_to_read

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.contract.job import ImageJob
    from producer.contract.records import Document
    from producer.documents.documents import ImageDocuments
    from producer.operations.requeue.checkpoint import Bookmark
    from producer.operations.requeue.throttle import Pace
    from producer.operations.requeue.progress import Progress
    from producer.operations.requeue.selection import Selection

WITHOUT_URL, UNUSABLE = "without a URL", "unusable"
_NAMED = 5
_POLL_S = 0.1


@dataclass(frozen=True)
class BackfillOptions:
    """What to queue.

    Attributes:
        selection: Which documents are wanted.
        query: What else they must match.
        limit: Most jobs to queue; None is all.
        watch: Keep the jobs on Redis, so that they can be followed.
    """

    selection: Selection
    query: Document
    limit: int | None
    watch: bool

    @property
    def whole_query(self) -> Document:
        """The query of the documents to read."""
        return {"$and": [self.query, self.selection.query()]}


class Backfill:
    """One run over the documents.

    Attributes:
        complaints: What is wrong with the first few documents that no worker could use.
    """

    def __init__(self, documents: ImageDocuments, bookmark: Bookmark, pace: Pace, options: BackfillOptions) -> None:
        self.complaints: list[str] = []
        self._documents = documents
        self._bookmark = bookmark
        self._pace = pace
        self._options = options
        self._left = options.limit
        self._read_ms = 0

    def run(self, progress: Progress, report: Callable[[Progress], object]) -> None:
        """Queue what is wanted from where `progress` stands; `report` is told of each move.

        In the end the progress is complete or at the limit.

        Raises:
            BackfillElsewhere: Another start with the same options goes on from here.
            BrokerUnavailable: Redis did not answer.
            StoreUnavailable: MongoDB did not answer.
        """
        options = self._options
        progress = replace(progress, is_at_limit=False)
        fields = fields_to_read(options.selection.url_field)
        self._read_ms = now_ms()
        for documents in self._documents.pages(options.whole_query, fields, progress.after):
            waiting = deque(documents)
            while waiting:
                if self._left == 0:
                    report(self._end(replace(progress, is_at_limit=True)))
                    return
                progress = self._queue(waiting, progress)
                report(progress)
            self._read_ms = now_ms()  # before the next page is read, which may wait long until it is queued
        report(self._end(replace(progress, is_complete=True)))

    def _queue(self, waiting: deque[Document], progress: Progress) -> Progress:
        room = self._wait_for_room()
        page = Page()
        while waiting and len(page.jobs) < room:
            progress = self._weigh(waiting.popleft(), page, progress)
        self._bookmark.move(progress, page)
        self._pace.spend(len(page.jobs))
        if self._left is not None:
            self._left -= len(page.jobs)
        return progress

    def _wait_for_room(self) -> int:
        said = False
        while not (room := self._pace.room()):
            self._bookmark.check()
            if self._pace.is_queue_full and not said:
                click.echo("waiting: as many jobs wait or are in flight as --max-queued allows", err=True)
                said = True
            time.sleep(_POLL_S)
        return room if self._left is None else min(room, self._left)

    def _weigh(self, document: Document, page: Page, progress: Progress) -> Progress:
        document_id = document["_id"]
        if not self._options.selection.wants(document):
            return progress.past(document_id)
        try:
            job = self._options.selection.job_of(document, self._read_ms)
        except InvalidJob as exc:
            self._complain(f"{shown_id(document)}: {exc}")
            return progress.past(document_id, unusable=1)
        if job is None:
            return progress.past(document_id, without_url=1)
        page.jobs.append(job)
        if self._options.watch:
            page.followed.append(_followed(document, job))
        return progress.past(document_id, enqueued=1)

    def _end(self, progress: Progress) -> Progress:
        self._bookmark.move(progress, Page())
        return progress

    def _complain(self, complaint: str) -> None:
        if len(self.complaints) < _NAMED:
            self.complaints.append(complaint)


def count_by_state(documents: ImageDocuments, options: BackfillOptions) -> tuple[Counter[str], int]:
    """Return how many documents there are of each state, and how many jobs a backfill would queue now.

    Raises:
        StoreUnavailable: MongoDB did not answer.
    """
    selection = options.selection
    states: Counter[str] = Counter()
    wanted = 0
    for page in documents.pages(options.query, fields_to_read(selection.url_field)):
        for document in page:
            state = _state_of(document, selection)
            states[state] += 1
            wanted += state not in (WITHOUT_URL, UNUSABLE) and selection.wants(document)
    return states, wanted if options.limit is None else min(wanted, options.limit)


def _state_of(document: Document, selection: Selection) -> str:
    try:
        job = selection.job_of(document, now_ms())
    except InvalidJob:
        return UNUSABLE
    return WITHOUT_URL if job is None else selection.state_of(document)


def _followed(document: Document, job: ImageJob) -> Followed:
    return Followed(document["_id"], job.enqueued_at_ms, to_ms(job_record(document).get("enqueued_at")))
