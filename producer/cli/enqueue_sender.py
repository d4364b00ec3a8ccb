"""Sends the rows of `clipqueue enqueue` to the queue: up to 500 at once, or what came before the next read waits."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import click

from producer.client.queue import is_full_chunk
from producer.client.stop import Stopped
from producer.contract.errors import ClipqueueError, InvalidJob
from producer.operations.input.rows import UnreadableInput, spells_object_id

if TYPE_CHECKING:
    import io
    from collections.abc import Iterable, Iterator

    from producer.client.client import EmbeddingClient
    from producer.client.stop import Stop
    from producer.contract.ids import ImageId
    from producer.operations.input.rows import Row

_MAX_SHOWN = 20


class OutputLost(ClipqueueError):
    """The ids cannot be printed: a disk is full, for example."""


class Sender:
    """Enqueues the valid rows, prints the id of each, and reports the other rows.

    Args:
        client: Enqueues the jobs.
        stop: Ends `send` between two rows, or while it waits for input. Never while jobs are enqueued: what is printed
            and counted is what is on the queue.
        id_type: The type of ids that are texts, one of ID_TYPES.
        force: As for `EmbeddingClient.enqueue`.
        record: As for `EmbeddingClient.enqueue`.

    Attributes:
        enqueued: How many jobs are on the queue.
        invalid: How many rows were not valid.
    """

    def __init__(self, client: EmbeddingClient, stop: Stop, id_type: str | None, *, force: bool, record: bool) -> None:
        self.enqueued = 0
        self.invalid = 0
        self._client = client
        self._stop = stop
        self._id_type = id_type
        self._force, self._record = force, record
        self._is_warned = id_type is not None
        self._waiting: list[tuple[Row, ImageId]] = []
        self._url_chars = 0
        self._last = ""

    def send(self, rows: Iterable[Row]) -> None:
        """Enqueue all rows.

        Raises:
            BrokerUnavailable, StoreUnavailable, ConfigurationError: As for `EmbeddingClient.enqueue_many`.
            UnreadableInput: The rest of the input cannot be read. The rows before it are enqueued.
            OutputLost: The ids cannot be printed. Their jobs are enqueued.
            Stopped: A signal came. The rows that are not enqueued yet are not going to be.
        """
        try:
            for row in rows:
                if self._stop.is_requested:
                    raise Stopped
                self._add(row)
        except UnreadableInput:
            self._flush()
            raise
        self._flush()

    def read(self, source: io.BufferedReader, size: int) -> bytes:
        """Enqueue the rows that have arrived, then wait for more input and return what comes, at most `size` bytes.

        Raises:
            UnreadableInput: Reading failed.
            Stopped: A signal came.
        """
        self._flush()
        try:
            with self._stop.waiting():
                return source.read1(size)
        except OSError as exc:
            raise UnreadableInput(f"reading the input failed: {exc.strerror}") from None

    def progress(self) -> str:
        """Return what has been done so far."""
        last = f", the last is {self._last}" if self._last else ""
        return f"enqueued so far: {self.enqueued}{last}, invalid rows: {self.invalid}"

    def _add(self, row: Row) -> None:
        try:
            image_id = row.checked_id(self._id_type)
        except InvalidJob as exc:
            self._reject(f"{row.source}: {exc}")
            return
        if not self._is_warned and spells_object_id(image_id):
            self._warn(row)
        self._waiting.append((row, image_id))
        self._url_chars += len(row.url)
        if is_full_chunk(len(self._waiting), self._url_chars):  # what `enqueue_many` sends in one command
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        self.enqueued += self._client.enqueue_many(
            ((image_id, row.url) for row, image_id in self._waiting), force=self._force, record=self._record
        )
        self._last = self._waiting[-1][0].source
        _print("\n".join(str(image_id) for _, image_id in self._waiting), sys.stdout)
        self._waiting.clear()
        self._url_chars = 0

    def _reject(self, problem: str) -> None:
        self.invalid += 1
        if self.invalid <= _MAX_SHOWN:
            report(problem)
        elif self.invalid == _MAX_SHOWN + 1:
            report("more invalid rows are only counted")

    def _warn(self, row: Row) -> None:
        self._is_warned = True
        report(
            f"{row.source}: warning: the id {row.image_id} is enqueued as a string, though it looks like an ObjectId. "
            "If the _id of the documents is an ObjectId, give --object-id; --id-type string ends this warning"
        )


@contextmanager
def end_on_signals(stop: Stop) -> Iterator[None]:
    """Let SIGINT and SIGTERM request a stop within the block, unless they are ignored."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop.on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def report(text: str) -> None:
    """Print a line to standard error."""
    _print(text, sys.stderr)


def _print(text: str, stream: TextIO) -> None:
    try:
        click.echo(text, file=stream)
    except BrokenPipeError:
        # The program that reads the output has ended, as in `clipqueue enqueue | head`. The other jobs are still
        # enqueued.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except OSError as exc:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # Python would write the rest at its end
        raise OutputLost(f"the output cannot be written: {exc.strerror}") from None
    except UnicodeEncodeError:  # a terminal or a file of Windows that is not UTF-8
        click.echo(text.encode(stream.encoding, "backslashreplace"), file=stream)
