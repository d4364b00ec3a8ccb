"""Runs a backfill on a terminal: its messages, progress bars and exit code. Needs tqdm, from the extra `mongo`."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from producer.contract.urls import redact_text
from producer.operations.requeue.backfill import UNUSABLE, WITHOUT_URL, count_by_state
from producer.operations.requeue.model import choose_model
from producer.operations.requeue.patience import Patience
from producer.operations.requeue.run import BackfillRun, identity_of
from producer.operations.requeue.selection import CURRENT, FAILED, MISSING, STALE
from producer.operations.requeue.throttle import Throttle
from producer.operations.requeue.watch import DONE
from producer.operations.workers import find_worker_model

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence

    from producer.cli.backfill_options import SharedOptions
    from producer.client.broker import Broker
    from producer.documents.documents import ImageDocuments
    from producer.operations.requeue.backfill import BackfillOptions
    from producer.operations.requeue.progress import Progress

_STATES = (MISSING, STALE, FAILED, CURRENT, WITHOUT_URL, UNUSABLE)


def run_backfill(
    documents: ImageDocuments,
    broker: Broker,
    options: BackfillOptions,
    shared: SharedOptions,
    identity: Sequence[str | None],
) -> int:
    """Run a backfill, or only count the documents with `--dry-run`; return the exit code.

    Args:
        documents: The collection.
        broker: The Redis of the queue.
        options: Which documents to enqueue.
        shared: The shared options.
        identity: The command and those of its options that identify the backfill; see `identity_of`.
    """
    if shared.dry_run:
        _print_states(documents, broker, options)
        return 0
    key = identity_of(documents, options, identity)
    throttle = Throttle(broker, shared.max_queued, shared.rate)
    patience = Patience(broker, documents, _note)
    run = BackfillRun(broker, documents, key, throttle, options, _TerminalReporter(), patience)
    try:
        return 0 if run.run(restart=shared.restart) else 1
    except KeyboardInterrupt:
        if run.is_watching:
            click.echo("stopped watching; the jobs continue, and the same command watches them again", err=True)
        else:
            click.echo(f"stopped after {run.progress.enqueued} jobs; the same command continues from there", err=True)
        return 1


class _TerminalReporter:
    """Prints results to standard output, and messages and progress bars to standard error."""

    def note(self, text: str) -> None:
        _note(text)

    def show_resumed(self, progress: Progress) -> None:
        after = redact_text(repr(progress.after))  # an id may be a URL
        click.echo(f"continuing after {after}: {progress.enqueued} enqueued before; --restart starts over", err=True)

    def show_unwatched(self, jobs: int) -> None:
        click.echo(
            f"{jobs} jobs were enqueued by earlier runs without --watch; their results are not counted", err=True
        )

    def show_queue_full(self) -> None:
        click.echo("waiting: the queue is full (--max-queued)", err=True)

    def show_enqueued(self, progress: Progress, problems: list[str]) -> None:
        for problem in problems:
            click.echo(problem, err=True)
        skipped = progress.read - progress.enqueued - progress.unusable
        without_url = f" ({progress.without_url} without a URL)" if progress.without_url else ""
        click.echo(f"enqueued {progress.enqueued}, skipped {skipped}{without_url}, unusable {progress.unusable}")

    def show_limit_reached(self) -> None:
        click.echo("the limit is reached; the same command continues from there, --restart starts over", err=True)

    def show_results(self, results: Counter[str]) -> None:
        _print_table(dict(sorted(results.items(), key=lambda result: (result[0] != DONE, -result[1], result[0]))))

    @contextmanager
    def count_documents(self, start: int) -> Iterator[_Bar]:
        with tqdm(initial=start, unit=" documents", disable=None, file=sys.stderr) as bar:
            yield _Bar(bar)

    @contextmanager
    def count_jobs(self, total: int) -> Iterator[_Bar]:
        with tqdm(total=total, unit=" jobs", desc="finished", disable=None, file=sys.stderr) as bar:
            yield _Bar(bar)


class _Bar:
    """A tqdm bar."""

    def __init__(self, bar: tqdm[Any]) -> None:
        self._bar = bar

    def update(self, count: int) -> None:
        self._bar.update(count)

    def show_enqueued(self, jobs: int) -> None:
        self._bar.set_postfix(enqueued=jobs, refresh=False)


def _print_states(documents: ImageDocuments, broker: Broker, options: BackfillOptions) -> None:
    selection = options.selection
    model = choose_model(selection, None, lambda: find_worker_model(broker, documents), _note)
    options = replace(options, selection=replace(selection, model=model))
    states, selected = count_by_state(documents, options)
    _print_table({state: states[state] for state in _STATES})
    click.echo(f"would enqueue {selected}")


def _note(text: str) -> None:
    click.echo(text, err=True)


def _print_table(counts: dict[str, int]) -> None:
    width = max(map(len, counts), default=0)
    for name, count in counts.items():
        click.echo(f"{name:{width}}  {count:>8}")
