"""What `clipqueue top` shows: figures, servers that are away, and texts that want to do more than be read."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len

from tests.producer.top.conftest import Document, Driver, Program, failure, write_figures
from tests.support.delayed import delay_image
from tests.support.doctor import write_heartbeat, write_worker
from tests.support.mongo_proxy import error_answer, refusing
from tests.support.parked import park
from tests.support.redis_servers import Relay
from tests.support.servers import SocketServer
from tests.support.stats import fill, worker_stats

if TYPE_CHECKING:
    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack

WIDTHS = (60, 80, 200)


def test_the_queue_and_its_workers_are_shown_at_each_width(
    program: Program, queue: redis.Redis, images: Collection[Document]
) -> None:
    fill(queue)
    images.insert_many([failure(f"photo-{number}") for number in range(3)])

    async def use(driver: Driver) -> None:
        for width in WIDTHS:
            await driver.resize(width, 40)
            shown = await driver.until("http_404")
            for figure in ("waiting 2", "in flight 3", "delayed 2", "parked 1", "oldest 5 min", "hosts: host (2)"):
                assert figure in shown
            assert "4 alive, 1 without MongoDB" in shown
            assert "no MongoDB" in shown
            assert "queries" in shown  # in the place of the jobs of a worker that only answers queries
            assert max(map(cell_len, driver.lines)) <= width
            assert "q quit" in driver.lines[-1]

    program.run(use)


def test_rates_are_those_of_the_last_heartbeats(program: Program, queue: redis.Redis) -> None:
    stages = {"fetch": [100, 12.5], "encode": [100, 30.0]}
    work = {
        "stages": stages,
        "latency": [100, 420.0],
        "errors": {"http_404": 5},
        "retried": 5,
        "fetched_bytes": 5 << 20,
    }
    write_figures(queue, "w-1", 0)
    queue.lpush("images", *["x"] * 500)

    async def use(driver: Driver) -> None:
        await driver.until("since the workers started")
        write_figures(queue, "w-1", 500, **work)
        shown = await driver.until("images/s now")
        # 500 images in ten seconds, and the work for another 500.
        for figure in ("50.0 images/s now", "done 3,000", "retried 30.0", "4.2 s  from enqueue", "fetched 512K/s"):
            assert figure in shown
        assert "fetch 125 ms" in shown
        assert "encode 300 ms" in shown
        assert "work for 10 s" in shown
        row = next(line for line in shown.splitlines() if "w-1" in line).split()
        assert row[1:7] == ["7/32", "50.0", "50%", "45%", "0", "30.0"]
        assert "http_404" in shown  # though no image has failed with it yet
        assert "█" in await driver.until("most 50.0")

    program.run(use)


def test_without_workers_it_says_so(program: Program, queue: redis.Redis) -> None:
    write_worker(queue, "junk", b"\xff{[")

    async def use(driver: Driver) -> None:
        shown = await driver.until("no worker is alive")
        assert "1 unreadable" in shown
        assert "no image has failed" in await driver.until("no image has failed")

    program.run(use)


def test_redis_may_go_away_and_come_back(program: Program, queue: redis.Redis) -> None:
    port = int(program.redis_url.rpartition(":")[2].partition("/")[0])
    with Relay(port) as relay:
        program.redis_url = program.redis_url.replace(f":{port}/", f":{relay.port}/")

        async def use(driver: Driver) -> None:
            queue.lpush("images", "x")
            await driver.until("waiting 1")
            relay.target = 1  # nothing listens there
            queue.client_kill_filter(_type="normal", skipme=True)
            shown = await driver.until("these figures are of")
            assert "waiting 1" in shown  # the last figures stay
            assert f"Redis at 127.0.0.1:{relay.port}" in shown
            assert "Workers" in await driver.press("s")
            queue.lpush("images", "x")
            relay.target = port
            await driver.until("waiting 2")
            assert "these figures are of" not in driver.text

        program.run(use)


def test_servers_that_hang_do_not_hold_up_the_keys(program: Program) -> None:
    over = threading.Event()

    def hang(_: socket.socket) -> None:
        over.wait(60)

    with SocketServer(hang) as silent:
        program.redis_url = f"redis://127.0.0.1:{silent.port}/0"
        program.mongodb_uri = f"mongodb://127.0.0.1:{silent.port}/clipqueue"

        async def use(driver: Driver) -> None:
            assert "Help" in await driver.press("question_mark")
            assert "reading the queue" in await driver.press("escape")
            assert "paused" in await driver.press("p")
            await driver.press("q")

        asyncio.run(asyncio.wait_for(_run(program, use), 30))
        over.set()


async def _run(program: Program, use: Any) -> None:
    async with program.running() as driver:
        await use(driver)


@pytest.mark.parametrize("is_refusing", [True, False])
def test_mongodb_may_be_away(program: Program, stack: Stack, queue: redis.Redis, is_refusing: bool) -> None:
    write_figures(queue, "w-1", 0)
    with refusing(stack.mongodb_uri, {"aggregate": error_answer(13, "Unauthorized", "not allowed")}) as proxy:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        gone = f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=100"
        program.mongodb_uri = proxy.uri if is_refusing else gone

        async def use(driver: Driver) -> None:
            await driver.until(f"MongoDB at 127.0.0.1:{proxy.port if is_refusing else port}")
            assert "no answer for" in driver.text
            assert "w-1" in await driver.until("w-1")  # the queue goes on
            write_figures(queue, "w-1", 10, errors={"http_503": 3})
            await driver.until("http_503")
            assert "MongoDB at" in await driver.press("tab", "enter")

        program.run(use)


def test_without_mongodb_uri_the_errors_are_those_of_the_workers(program: Program, queue: redis.Redis) -> None:
    program.mongodb_uri = None
    write_figures(queue, "w-1", 0, errors={"http_503": 3})

    async def use(driver: Driver) -> None:
        await driver.until("http_503")
        assert "MONGODB_URI is not set" in driver.text
        await driver.press("tab", "enter", "R", "r")
        assert "MONGODB_URI is not set" in driver.text

    program.run(use)


NASTY = "[bold]x[/bold]\x1b[2J\x1b]0;t\x07\r\n\u202eabc\u200b\u0301猫猫\ud800"


def test_texts_of_others_are_inert(program: Program, queue: redis.Redis, images: Collection[Document]) -> None:
    text = NASTY.replace("\ud800", "")
    images.insert_one(failure(text, text, stage=text, message=text))
    errors = {NASTY: 5, "[/]": 1}
    for number in range(3):
        stats = worker_stats(done=10**15, errors=errors, stages={"fetch": "junk"}, latency=[float("nan"), -1])
        write_heartbeat(queue, f"{text}{number}", model=NASTY, device=NASTY, version=NASTY, stats=stats, batch_size=-5)
    delay_image(queue, "a", "http://xn--e1aybc.example/[bold]")
    park(queue, b"\x1b[2J")

    async def use(driver: Driver) -> None:
        await driver.until("3 alive")
        await driver.until("[bold]x[/bold]\N{REPLACEMENT CHARACTER}[2J")
        for keys in (["tab", "enter"], ["r"], ["n", "escape", "tab", "enter"]):
            await driver.press(*keys)
            await driver.until("[bold]")
            assert not [char for char in driver.text if not char.isprintable() and char != "\n"]
            assert {cell_len(line) for line in driver.top.screen.lines.full} == {80}  # type: ignore[attr-defined]

    program.run(use)


def test_in_a_locale_without_utf_8_all_is_ascii(
    program: Program, queue: redis.Redis, images: Collection[Document]
) -> None:
    program.env = {"LC_ALL": "C"}
    images.insert_one(failure("猫", message="çà"))
    write_figures(queue, "w-é", 0)

    async def use(driver: Driver) -> None:
        await driver.until("w-?")
        write_figures(queue, "w-é", 600)
        await driver.until("most")
        for keys in (["tab", "enter"], ["r"], ["n", "question_mark"]):
            assert driver.text.isascii()
            await driver.press(*keys)

    program.run(use)


def test_thousands_of_workers_are_counted_and_scrolled(program: Program, queue: redis.Redis) -> None:
    write_figures(queue, "w-0000", 0)
    heartbeat: Any = queue.get("clipqueue:worker:w-0000")
    at, _ = queue.time()
    content = {
        f"clipqueue:worker:w-{number:04}": heartbeat.replace(b"w-0000", b"w-%04d" % number) for number in range(3000)
    }
    queue.mset(content)
    queue.zadd("clipqueue:workers", dict.fromkeys(content, at))

    async def use(driver: Driver) -> None:
        shown = await driver.until("3,000 alive")
        assert ", 1 to " in shown
        await driver.press("s", "s", "s", "end")
        assert "w-2999" in driver.text
        assert "every 10 s" in driver.text  # 3,000 heartbeats are read no more often than they change

    program.run(use)
