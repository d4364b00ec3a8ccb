"""Runs a backfill from its checkpoint: enqueues, watches the jobs if asked to, and deletes the checkpoint."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from producer.contract.errors import StoreUnavailable
from producer.operations.requeue.backfill import Backfill
from producer.operations.requeue.progress import Progress
from producer.operations.requeue.watch import DELETED, DONE, watch_jobs

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from producer.documents.documents import ImageDocuments
    from producer.operations.requeue.backfill import BackfillOptions
    from producer.operations.requeue.checkpoint import Checkpoint
    from producer.operations.requeue.throttle import Throttle

_POLL_S = 0.5


class Reporter(Protocol):
    """Shows what a backfill does."""

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

    def count_documents(self, count: Callable[[], int | None], start: int) -> AbstractContextManager[Bar]:
        """Open a progress bar of documents that starts at `start`; `count` returns their total, if it is known."""

    def count_jobs(self, total: int) -> AbstractContextManager[Bar]:
        """Open a progress bar of finished jobs."""


class Bar(Protocol):
    """A progress bar."""

    def update(self, count: int) -> object:
        """Advance the bar by `count`."""

    def show_enqueued(self, jobs: int) -> object:
        """Show the number of enqueued jobs beside the bar."""


@dataclass
class BackfillRun:
    """One run of a backfill. Its methods raise what `Backfill.run` and `watch_jobs` raise."""

    documents: ImageDocuments
    checkpoint: Checkpoint
    throttle: Throttle
    options: BackfillOptions
    reporter: Reporter
    progress: Progress = field(default_factory=Progress)

    @property
    def is_watching(self) -> bool:
        """Whether all jobs are enqueued, so that the run only watches them."""
        return self.progress.is_complete or self.progress.is_at_limit

    def run(self, *, restart: bool) -> bool:
        """Enqueue, watch if asked to, and return whether all documents were usable and no watched job failed.

        Args:
            restart: Start from the beginning, and not from the checkpoint.
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
        progress = self.checkpoint.claim(restart=restart)
        if progress.is_complete and not self.options.watch:
            # The earlier run had enqueued everything and was only watching. This run does not watch, so it starts over.
            progress = self.checkpoint.claim(restart=True)
        if progress.read:
            self.reporter.show_resumed(progress)
        if self.options.watch and (jobs := progress.enqueued - self.checkpoint.count_watched_jobs()) > 0:
            self.reporter.show_unwatched(jobs)
        self.progress = progress

    def _is_only_watching_left(self) -> bool:
        """Return whether an earlier run has enqueued its jobs and was interrupted while it watched them."""
        has_jobs_left = self.progress.is_at_limit and self.options.watch and self.checkpoint.count_watched_jobs() > 0
        return self.progress.is_complete or has_jobs_left

    def _enqueue(self) -> None:
        backfill = Backfill(self.documents, self.checkpoint, self.throttle, self.options, self.reporter.show_queue_full)
        with self.reporter.count_documents(self._count, self.progress.read) as bar:

            def report(progress: Progress) -> None:
                bar.show_enqueued(progress.enqueued)
                bar.update(progress.read - self.progress.read)
                self.progress = progress

            backfill.run(self.progress, report)
        self.reporter.show_enqueued(self.progress, backfill.problems)

    def _count(self) -> int | None:
        try:
            return self.documents.count(self.options.full_query)
        except StoreUnavailable:  # counting a large collection may time out
            return None

    def _watch(self) -> Counter[str]:
        with self.reporter.count_jobs(self.checkpoint.count_watched_jobs()) as bar:
            return watch_jobs(self.checkpoint.watched_jobs(), self.documents, bar.update, self._wait)

    def _wait(self) -> None:
        self.checkpoint.check_owner()
        time.sleep(_POLL_S)

    def _delete_checkpoint(self) -> None:
        if self.progress.is_complete:
            self.checkpoint.delete()
        else:
            self.checkpoint.delete_watched_jobs()
            self.reporter.show_limit_reached()
