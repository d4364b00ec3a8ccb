"""One start of a backfill as its user sees it: what it says, its progress bar, its exit code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
from tqdm import tqdm

from producer.contract.errors import StoreUnavailable
from producer.operations.requeue.backfill import UNUSABLE, WITHOUT_URL, Backfill, count_by_state
from producer.operations.requeue.watch import DELETED, DONE, follow, pause
from producer.operations.requeue.progress import Progress
from producer.operations.requeue.selection import CURRENT, FAILED, MISSING, STALE

if TYPE_CHECKING:
    from collections import Counter

    from producer.documents.documents import ImageDocuments
    from producer.operations.requeue.backfill import BackfillOptions
    from producer.operations.requeue.checkpoint import Bookmark
    from producer.operations.requeue.throttle import Pace

_STATES = (MISSING, STALE, FAILED, CURRENT, WITHOUT_URL, UNUSABLE)


class BackfillRun:
    """One start of a backfill. Each method raises what `Backfill.run` and `follow` raise."""

    def __init__(self, documents: ImageDocuments, bookmark: Bookmark, pace: Pace, options: BackfillOptions) -> None:
        self._documents = documents
        self._bookmark = bookmark
        self._pace = pace
        self._options = options
        self._progress = Progress()

    def run(self, *, anew: bool) -> int:
        """Enqueue, follow if asked to, and return the exit code; `anew` forgets an earlier start."""
        try:
            return self._run(anew=anew)
        except KeyboardInterrupt:
            is_watching = self._progress.is_complete or self._progress.is_at_limit
            said = "stopped watching; the jobs go on, and the same command watches them again"
            enqueued = f"stopped after {self._progress.enqueued} jobs; the same command goes on from there"
            click.echo(said if is_watching else enqueued, err=True)
            return 1

    def _run(self, *, anew: bool) -> int:
        self._begin(anew=anew)
        if not self._is_enqueued(self._progress):
            self._enqueue()
        ends = self._watch() if self._options.watch else None
        self._forget()
        if ends is not None:
            _show_ends(ends)
        has_failed = ends is not None and ends.total() > ends[DONE] + ends[DELETED]
        return 1 if self._progress.unusable or has_failed else 0

    def _is_enqueued(self, progress: Progress) -> bool:
        """Return whether an earlier start has only left its jobs to be followed."""
        is_watch_left = progress.is_at_limit and self._options.watch and self._bookmark.followed_count() > 0
        return progress.is_complete or is_watch_left

    def _begin(self, *, anew: bool) -> None:
        progress = self._bookmark.take(anew=anew)
        if progress.is_complete and not self._options.watch:
            progress = self._bookmark.take(anew=True)  # its watch was stopped; this is another backfill
        if progress.read:
            stand = f"going on from {progress.after!r}: {progress.enqueued} enqueued before; --restart begins anew"
            click.echo(stand, err=True)
        if self._options.watch and (unknown := progress.enqueued - self._bookmark.followed_count()) > 0:
            click.echo(f"{unknown} jobs enqueued before are not watched, since no --watch kept them", err=True)
        self._progress = progress

    def _enqueue(self) -> None:
        backfill = Backfill(self._documents, self._bookmark, self._pace, self._options)
        start = self._progress
        with tqdm(
            total=self._total(), initial=start.read, unit=" documents", disable=None, file=sys.stderr
        ) as self._bar:
            backfill.run(start, self._report)
        for complaint in backfill.complaints:
            click.echo(complaint, err=True)
        _show_counts(self._progress)

    def _report(self, progress: Progress) -> None:
        self._bar.set_postfix(enqueued=progress.enqueued, refresh=False)
        self._bar.update(progress.read - self._progress.read)
        self._progress = progress

    def _total(self) -> int | None:
        if not sys.stderr.isatty():
            return None
        try:
            return self._documents.count(self._options.whole_query)
        except StoreUnavailable:  # a large collection may take too long to count
            return None

    def _watch(self) -> Counter[str]:
        total = self._bookmark.followed_count()
        with tqdm(total=total, unit=" jobs", desc="ended", disable=None, file=sys.stderr) as bar:
            return follow(self._bookmark.followed(), self._documents, bar.update, self._pause)

    def _pause(self) -> None:
        self._bookmark.check()
        pause()

    def _forget(self) -> None:
        if self._progress.is_complete:
            self._bookmark.forget()
        else:
            self._bookmark.forget_jobs()
            click.echo("the limit is reached; the same command goes on from there, --restart begins anew", err=True)


def show_states(documents: ImageDocuments, options: BackfillOptions) -> None:
    """Print how many documents there are of each state, and how many jobs a backfill would enqueue.

    Raises:
        StoreUnavailable: MongoDB did not answer.
    """
    states, wanted = count_by_state(documents, options)
    _show_table({state: states[state] for state in _STATES})
    click.echo(f"would enqueue {wanted}")


def _show_counts(progress: Progress) -> None:
    skipped = progress.read - progress.enqueued - progress.unusable
    without = f" ({progress.without_url} without a URL)" if progress.without_url else ""
    click.echo(f"enqueued {progress.enqueued}, skipped {skipped}{without}, unusable {progress.unusable}")


def _show_ends(ends: Counter[str]) -> None:
    _show_table(dict(sorted(ends.items(), key=lambda end: (end[0] != DONE, -end[1], end[0]))))


def _show_table(counts: dict[str, int]) -> None:
    width = max(map(len, counts), default=0)
    for name, count in counts.items():
        click.echo(f"{name:{width}}  {count:>8}")
