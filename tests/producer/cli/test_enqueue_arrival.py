"""`clipqueue enqueue --from -` enqueues rows as they arrive, and a signal ends it between two commands to Redis."""

from __future__ import annotations

import os
import signal
import subprocess
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from producer.cli.enqueue_sender import Sender, end_on_signals
from producer.client.client import EmbeddingClient
from producer.client.stop import Stop, Stopped
from producer.operations.input.rows import Row
from tests.support.commands import COMMAND, TIED, invoke
from tests.support.queued import queued_ids
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis

CSV = ("id,url\na,http://host/1.jpg\n", "b,http://host", "/2.jpg\nc,http://host/3.jpg\n", "line 4")
JSON_ARRAY = (
    '[{"_id":"a","url":"http://host/1.jpg"}',
    ',{"_id":"b","url":"http://h',
    'ost/2.jpg"},{"_id":"c","url":"http://host/3.jpg"}',
    "object 3 (line 1)",
)


@pytest.mark.parametrize(
    ("parts", "number"), [(CSV, signal.SIGTERM), (JSON_ARRAY, signal.SIGINT)], ids=["CSV", "JSON array"]
)
def test_a_row_is_enqueued_as_soon_as_it_is_complete(
    redis_url: str, queue: redis.Redis, parts: tuple[str, str, str, str], number: int
) -> None:
    """Of input that stays open. Then a signal ends the command, so that it needs a process."""
    command = [*TIED, *COMMAND, "enqueue", "--from", "-"]
    env = {**os.environ, "REDIS_URL": redis_url}
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, env=env, text=True, **pipes) as process:
        assert process.stdin
        for part, expected in zip(parts, (["a"], ["a"], ["a", "b", "c"]), strict=False):
            process.stdin.write(part)
            process.stdin.flush()
            wait_for(partial(_is_queued, queue, expected), f"{expected} on the queue")
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (1, "a\nb\nc\n")
    assert errors == f"clipqueue: stopped (enqueued so far: 3, the last is {parts[3]}, invalid rows: 0)\n"
    assert queue.llen("images") == 3


def test_fast_input_is_sent_in_chunks_of_500(redis_url: str, queue: redis.Redis, tmp_path: Path) -> None:
    path = tmp_path / "urls.txt"
    path.write_text("".join(f"http://host/{n}.jpg\n" for n in range(1200)))
    before = _pushes(queue)
    assert invoke("enqueue", "--from", str(path), REDIS_URL=redis_url).returncode == 0
    assert (_pushes(queue) - before, queue.llen("images")) == (3, 1200)


def test_long_urls_are_sent_in_smaller_chunks(redis_url: str, queue: redis.Redis, tmp_path: Path) -> None:
    """500 of the longest would be 6 MB in one command. The client divides the rows as the command does."""
    path = tmp_path / "urls.txt"
    path.write_text("".join(f"http://host/{n:03}?{'x' * 8176}\n" for n in range(100)))
    before = _pushes(queue)
    assert invoke("enqueue", "--from", str(path), REDIS_URL=redis_url).returncode == 0
    assert (_pushes(queue) - before, queue.llen("images")) == (3, 100)


def test_a_signal_while_rows_are_read_leaves_no_row_that_is_enqueued_but_not_counted(
    redis_url: str, queue: redis.Redis
) -> None:
    def rows() -> Iterator[Row]:
        for n in range(2000):
            if n == 700:
                os.kill(os.getpid(), signal.SIGTERM)
            yield Row(f"line {n}", f"photo-{n}", "http://host/a.jpg")

    before = signal.getsignal(signal.SIGTERM)
    stop = Stop()
    with EmbeddingClient(redis_url) as client, end_on_signals(stop):
        sender = Sender(client, stop, None, force=False, record=False)
        with pytest.raises(Stopped):
            sender.send(rows())
    assert sender.progress() == "enqueued so far: 500, the last is line 499, invalid rows: 0"
    assert (queue.llen("images"), signal.getsignal(signal.SIGTERM)) == (500, before)


def _is_queued(queue: redis.Redis, expected: list[str]) -> bool:
    return queued_ids(queue) == expected


def _pushes(queue: redis.Redis) -> int:
    statistics: Any = queue.info("commandstats")
    return int(statistics.get("cmdstat_lpush", {}).get("calls", 0))
