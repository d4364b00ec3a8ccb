"""`clipqueue stats`: what it prints, once and again and again, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from producer.cli.cost_output import cost_as_text
from producer.contract.job import now_ms
from producer.operations.cost import Cost
from tests.support.commands import COMMAND, invoke, start
from tests.support.doctor import write_heartbeat
from tests.support.stats import fill, worker_stats

if TYPE_CHECKING:
    import subprocess

    import redis

    from producer.local.stack import Stack

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"
BUSY = worker_stats(
    done=36_000,
    failed=300,
    latency=[36_000, 90_000.0],
    stages={"fetch": [36_300, 3993.0], "encode": [36_000, 9000.0]},
    batches=2000,
    images=36_000,
    model_busy_s=5400.0,
    cpu_s=5400.0,
    fetched_bytes=3600 * (1 << 20),
    errors={"http_404": 290, "timeout": 12},
)


def write_busy_worker(broker: redis.Redis) -> None:
    started = {"started_at": now_ms() - 3_600_000, "batch_size": 36, "model_threads": 2}
    write_heartbeat(broker, "celery@a", model="one", queries=True, stats=BUSY, **started)


def test_an_empty_queue_is_0(redis_url: str, queue: redis.Redis) -> None:
    done = invoke("stats", REDIS_URL=redis_url)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:4] == ["waiting     0", "in flight   0", "delayed     0", "parked      0"]
    assert lines[5:] == ["workers     0"]


def test_one_reading_as_text(redis_url: str, queue: redis.Redis) -> None:
    fill(queue)
    write_busy_worker(queue)
    done = invoke("stats", REDIS_URL=redis_url)
    assert (done.returncode, done.stderr) == (1, "")
    lines = dict.fromkeys(done.stdout.splitlines())
    assert [line for line in lines if not line.startswith("Redis")] == [
        "waiting     2, the oldest for 5 min",
        "in flight   3",
        "delayed     2, the first has been due for 2 min",
        "parked      1: see clipqueue parked list",
        "workers     4, 1 without MongoDB, 3 without figures yet, or of an earlier version",
        "            one (images: 2, queries: 2)",
        "            two/x (images: 1)",
        "since       the workers started, the first 60 min ago",
        "done        36,000 (10.0/s)",
        "skipped     0 (0.0/s)",
        "failed      300 (0.1/s)",
        "retried     0 (0.0/s)",
        "requeued    0 (0.0/s)",
        "latency     2.5 s from enqueue to vector",
        "stages      fetch 110 ms, encode 250 ms",
        "batches     18.0 images, 50% full",
        "load        the model computes 75% of the time, 1.5 processors, 1.0 MiB/s fetched",
        "errors      http_404 290, timeout 12",
    ]


def test_one_reading_as_json_has_the_documented_keys(redis_url: str, queue: redis.Redis) -> None:
    write_busy_worker(queue)
    done = invoke("stats", "--json", REDIS_URL=redis_url)
    assert done.returncode == 0
    shown: dict[str, Any] = json.loads(done.stdout)
    assert list(shown) == ["at", "queue", "redis", "workers", "rates"]
    assert shown["queue"] == {
        "waiting": 0,
        "in_flight": 0,
        "delayed": 0,
        "parked": 0,
        "oldest_age_s": 0.0,
        "overdue_s": 0.0,
        "growth_per_s": None,
        "eta_s": 0.0,
    }
    assert list(shown["redis"]) == ["memory_bytes", "max_memory_bytes"]
    models = [{"model": "one", "images": 1, "queries": 1}]
    assert shown["workers"] == {"live": 1, "unreadable": 0, "store_away": 0, "models": models}
    rates = shown["rates"]
    assert (rates["since"], rates["workers"], rates["done"], rates["errors"]) == ("start", 1, 36_000, BUSY["errors"])
    assert rates["done_per_s"] == pytest.approx(10, abs=0.1)
    page = PAGE.read_text()
    documented = {*shown, *shown["queue"], *shown["redis"], *shown["workers"], *rates, *models[0]}
    assert {key for key in documented if f"`{key}`" not in page} == set()


def test_a_redis_that_does_not_answer_is_3() -> None:
    done = invoke("stats", REDIS_URL="redis://:secret@127.0.0.1:1/0")
    assert (done.returncode, done.stdout) == (3, "")
    assert "connection was refused" in done.stderr
    assert "secret" not in done.stderr
    assert invoke("stats", REDIS_URL="").returncode == 3


@pytest.mark.parametrize("every", ["0", "nan", "inf", "x"])
def test_a_wrong_pause_is_2(every: str) -> None:
    assert invoke("stats", "--watch", every, REDIS_URL="redis://127.0.0.1:1/0").returncode == 2


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline()


def test_watching_in_a_pipe_prints_a_line_each_time_and_waits_for_redis(own: Stack, own_broker: redis.Redis) -> None:
    """The subject is the process: its signals, and that each line is written at once."""
    own_broker.acl_setuser("watch", enabled=True, passwords=["+x"], keys=["*"], commands=["+@all"])
    url = own.redis_url.replace("redis://", "redis://watch:x@")
    fill(own_broker)
    write_busy_worker(own_broker)
    with start([*COMMAND, "stats", "--watch", "1"], {**os.environ, "REDIS_URL": url}) as process:
        assert process.stderr
        first = read_line(process)
        assert " waiting=2 in_flight=3 delayed=2 parked=1 workers=4 done=10.0/s failed=0.1/s retried=0.0/s" in first
        assert first.endswith(" latency=2.500s\n")
        own_broker.acl_setuser("watch", commands=["-@all"])
        assert "waiting until it answers" in process.stderr.readline()
        own_broker.acl_setuser("watch", commands=["+@all"])
        more = worker_stats(**{**BUSY, "done": 36_100, "latency": [36_100, 90_100.0]})
        started = {"started_at": now_ms() - 3_600_000, "batch_size": 36, "model_threads": 2}
        write_heartbeat(own_broker, "celery@a", model="one", stats=more, **started)
        assert " waiting=2 " in read_line(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stderr.read() == ""


def test_watching_on_a_terminal_prints_a_block_each_time_until_ctrl_c(redis_url: str, queue: redis.Redis) -> None:
    """Two readings of one worker show what it did between its heartbeats, and when the queue will be empty."""
    started = {"started_at": now_ms() - 3_600_000, "batch_size": 36, "model_threads": 2}
    at_ms = now_ms()
    fill(queue)
    write_heartbeat(queue, "celery@a", model="one", at=at_ms, stats=BUSY, **started)
    pid, terminal = pty.fork()
    if not pid:
        os.execvpe(COMMAND[0], [*COMMAND, "stats", "--watch", "1"], {**os.environ, "REDIS_URL": redis_url})  # noqa: S606
    seen = read_until(terminal, "errors      http_404 290, timeout 12")
    assert "the workers started, the first 60 min ago" in seen
    more = worker_stats(**{**BUSY, "done": 36_010, "latency": [36_010, 90_020.0]})
    write_heartbeat(queue, "celery@a", model="one", at=at_ms + 10_000, stats=more, **started)
    seen = read_until(terminal, "latency     2.0 s from enqueue to vector")
    assert "since       10 s ago" in seen
    assert "done        10 (1.0/s)" in seen
    assert "work for    5 s, if nothing is enqueued meanwhile" in seen
    os.write(terminal, b"\x03")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0


def read_until(terminal: int, text: str) -> str:
    """Return what a terminal shows up to some text."""
    seen, deadline = "", time.monotonic() + 60
    while text not in seen:
        assert time.monotonic() < deadline, seen
        seen += os.read(terminal, 65_536).decode()
    return seen


def test_cost_of_idle_workers_is_an_average_and_has_no_part_of_the_servers(redis_url: str, queue: redis.Redis) -> None:
    write_busy_worker(queue)
    prices = ("--price", "cpu-hour=0.03", "--price", "redis-100k-commands=0.2")
    done = invoke("stats", "--cost", "1", *prices, REDIS_URL=redis_url)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert lines[0] == "1,000 images, at 10.0 images/s on average since the workers started"
    # 5400 s of processors in an hour at ten images a second.
    assert lines[1].split() == ["processors", "150.0", "s", "0.001250"]
    assert lines[4].split() == ["commands", "unknown"]
    assert lines[9].split() == ["together", "at", "these", "prices,", "as", "far", "as", "known", "0.001250"]
    assert lines[-1].startswith("What Redis and MongoDB do is measured while images are embedded")


def test_cost_without_a_worker_is_unknown(redis_url: str, queue: redis.Redis) -> None:
    done = invoke("stats", "--cost", "1", "--price", "cpu-hour=0.03", REDIS_URL=redis_url)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "1,000 images: unknown, because no worker has embedded one since the workers started"
    assert [line.split()[1] for line in lines[1:9]] == ["unknown"] * 8
    assert "together" not in done.stdout


def test_cost_for_a_program(redis_url: str, queue: redis.Redis) -> None:
    write_busy_worker(queue)
    done = invoke("stats", "--json", "--cost", "1", "--price", "cpu-hour=2", REDIS_URL=redis_url)
    told = json.loads(done.stdout)
    page = (PAGE.parent / "cost.md").read_text()
    assert [name for name in told if f"`{name}`" not in page] == []
    assert told["images"] == 1000
    assert not told["is_recent"]
    assert told["prices"]["cpu-hour"] == pytest.approx(2 * told["cpu_hours"]) == pytest.approx(2 * 150 / 3600)
    assert told["redis_commands"] is None


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--cost", "--watch"), "--cost measures once: leave out --watch"),
        (("--price", "cpu-hour=1"), "--price needs --cost"),
        (("--cost", "--price", "cpu=1"), "'cpu=1' is no price: give one of cpu-hour, memory-gb-hour,"),
        (("--cost", "--price", "cpu-hour=-1"), "'cpu-hour=-1' is no price"),
        (("--cost", "--price", "cpu-hour=nan"), "'cpu-hour=nan' is no price"),
        (("--cost", "--price", "cpu-hour"), "'cpu-hour' is no price"),
    ],
)
def test_options_of_cost_that_make_no_sense_are_refused(arguments: tuple[str, ...], problem: str) -> None:
    done = invoke("stats", *arguments)
    assert done.returncode == 2
    assert problem in done.stderr


def test_cost_without_an_answer_is_3() -> None:
    done = invoke("stats", "--cost", "1", REDIS_URL="redis://127.0.0.1:9/0")
    assert done.returncode == 3
    assert "Redis at 127.0.0.1:9" in done.stderr


def test_a_network_without_mongodb_is_said_to_be_of_redis_alone() -> None:
    cost = Cost(10.0, 30.0, is_recent=True, redis_bytes=2.5 * (1 << 20))
    lines = {line.split()[0]: line for line in cost_as_text(cost, {"network-gb": 1000.0}).splitlines() if line}
    assert lines["network"].split()[1:] == ["2.5", "MiB,", "of", "Redis", "alone", "2.621440"]
    assert lines["MongoDB"].split()[1:] == ["unknown"]
