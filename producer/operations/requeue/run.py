"""Runs a backfill: finds its checkpoint, enqueues, watches the jobs if asked to, and deletes the checkpoint."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from bson import json_util

from producer.contract.text import printable
from producer.operations.requeue.backfill import Backfill
from producer.operations.requeue.model import choose_model, find_checkpoint
from producer.operations.requeue.progress import Progress
from producer.operations.requeue.selection import RECORDED_URL
from producer.operations.requeue.watch import DELETED, DONE, watch_jobs
from producer.operations.workers import find_worker_model

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from producer.client.broker import Broker
    from producer.documents.documents import ImageDocuments
    from producer.operations.requeue.backfill import BackfillOptions
    from producer.operations.requeue.checkpoint import Checkpoint
    from producer.operations.requeue.patience import Patience
    from producer.operations.requeue.throttle import Throttle

_POLL_S = 0.5


class Reporter(Protocol):
    """Shows what a backfill does."""

    def note(self, text: str) -> None:
        """Show a sentence."""

    def show_resumed(self, progress: Progress) -> None:
        """An earlier run with the same options is resumed."""

    def show_unwatched(self, jobs: int) -> None:
        """An earlier run without `watch` has enqueued `jobs` jobs, which cannot be watched."""

    def show_queue_full(self) -> None:
        """The backfill waits until the queue has room."""

    def show_enqueued(self, progress: Progress, problems: list[str]) -> None:
        """This run has enqueued its jobs; `problems` are those of the first unusable documents."""

    def show_limit_reached(self) -> None:
        """The run has stopped at its limit, and the same command continues from there."""

    def show_results(self, results: Counter[str]) -> None:
        """All watched jobs have finished."""

    def count_documents(self, start: int) -> AbstractContextManager[Bar]:
        """Open a progress bar of documents that starts at `start`. It has no total: counting may take minutes."""

    def count_jobs(self, total: int) -> AbstractContextManager[Bar]:
        """Open a progress bar of finished jobs."""


class Bar(Protocol):
    """A progress bar."""

    def update(self, count: int) -> object:
        """Advance the bar by `count`."""

    def show_enqueued(self, jobs: int) -> object:
        """Show the number of enqueued jobs beside the bar."""


def identity_of(
    documents: ImageDocuments, options: BackfillOptions, asked: Sequence[str | None]
) -> tuple[str | None, ...]:
    """Return what identifies a backfill. A run with the same continues an earlier one.

    Args:
        documents: The collection.
        options: What to enqueue.
        asked: The command, and those of its options that are not in the query, without the model.
    """
    command, *others = asked
    return (command, documents.database, documents.name, json_util.dumps(options.query), *others)


@dataclass
class BackfillRun:
    """One run of a backfill.

    Attributes:
        broker: The Redis of the queue.
        documents: The collection.
        identity: What `identity_of` returns.
        throttle: Limits the enqueued jobs.
        options: What to enqueue.
        reporter: Shows what the run does.
        patience: Looks for live workers while the run waits for them.
        progress: How far the backfill has come.
    """

    broker: Broker
    documents: ImageDocuments
    identity: Sequence[str | None]
    throttle: Throttle
    options: BackfillOptions
    reporter: Reporter
    patience: Patience
    progress: Progress = field(default_factory=Progress)
    _checkpoint: Checkpoint = field(init=False)

    @property
    def is_watching(self) -> bool:
        """Whether all jobs are enqueued, so that the run only watches them."""
        return self.progress.is_complete or self.progress.is_at_limit

    def run(self, *, restart: bool) -> bool:
        """Enqueue, watch if asked to, and return whether all documents were usable and no watched job failed.

        Args:
            restart: Start from the beginning, and not from the checkpoint.

        Raises:
            ConfigurationError: There is no model to compare, or the workers run another one than at the start.
            CheckpointLost: Another run with the same options has started, the queue was purged, or Redis has lost the
                checkpoint.
            NoWorker: The run watches, and no worker has been alive for a while.
            BrokerUnavailable: Redis could not be reached.
            StoreUnavailable: MongoDB could not be reached.
        """
        self._start(restart=restart)
        if not self._is_only_watching_left():
            self._enqueue()
        results = self._watch() if self.options.watch else None
        self._delete_checkpoint()
        if results is not None:
            self.reporter.show_results(results)
        has_failed = results is not None and results.total() > results[DONE] + results[DELETED]
        return not (self.progress.unusable or has_failed)

    def _start(self, *, restart: bool) -> None:
        selection, watch = self.options.selection, self.options.watch
        self._checkpoint = find_checkpoint(self.broker, self.identity, selection.model)
        stored = None if restart else self._checkpoint.read()
        if stored and stored.progress.is_complete and not watch:
            # The earlier run had enqueued everything and was only watching. This run does not watch, so it starts over.
            stored = None
        model = choose_model(selection, stored, self._find_live_model, self.reporter.note)
        self.options = replace(self.options, selection=replace(selection, model=model))
        self.progress = self._checkpoint.claim(restart=stored is None, model=model)
        if self.progress.read:
            self.reporter.show_resumed(self.progress)
        if watch:
            self.patience.check()
            if (jobs := self.progress.enqueued - self._checkpoint.count_watched_jobs()) > 0:
                self.reporter.show_unwatched(jobs)

    def _find_live_model(self) -> str | None:
        return find_worker_model(self.broker, self.documents)

    def _is_only_watching_left(self) -> bool:
        """Return whether an earlier run has enqueued its jobs and was interrupted while it watched them."""
        has_jobs_left = self.progress.is_at_limit and self.options.watch and self._checkpoint.count_watched_jobs() > 0
        return self.progress.is_complete or has_jobs_left

    def _enqueue(self) -> None:
        check_workers = self.patience.check if self.options.watch else lambda: None
        backfill = Backfill(
            *(self.documents, self._checkpoint, self.throttle, self.options),
            self.reporter.show_queue_full,
            check_workers=check_workers,
        )
        with self.reporter.count_documents(self.progress.read) as bar:

            def report(progress: Progress) -> None:
                bar.show_enqueued(progress.enqueued)
                bar.update(progress.read - self.progress.read)
                self.progress = progress

            backfill.run(self.progress, report)
        self.reporter.show_enqueued(self.progress, backfill.problems)
        field = self.options.selection.url_field
        if 0 < self.progress.read == self.progress.without_url and field != RECORDED_URL:
            self.reporter.note(f"no document has a URL in the field {printable(field)}: check --url-field")

    def _watch(self) -> Counter[str]:
        with self.reporter.count_jobs(self._checkpoint.count_watched_jobs()) as bar:
            return watch_jobs(self._checkpoint.watched_jobs(), self.documents, bar.update, self._wait)

    def _wait(self) -> None:
        self._checkpoint.check_owner()
        self.patience.check()
        time.sleep(_POLL_S)

    def _delete_checkpoint(self) -> None:
        if self.progress.is_complete:
            self._checkpoint.delete()
        else:
            self._checkpoint.delete_watched_jobs()
            self.reporter.show_limit_reached()
