"""`clipqueue sweep`: its output, options, signals and outages."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from producer.local.stack import Stack
from tests.producer.operations.shop import URL, Document, pending
from tests.support.commands import COMMAND, invoke, start
from tests.support.queued import queued_ids
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    import redis
    from pymongo.collection import Collection

    Sweep = Callable[..., Any]


def start_sweeping(env: dict[str, str]) -> subprocess.Popen[str]:
    return start([*COMMAND, "sweep"], {**os.environ, **env})


def test_only_one_sweep_runs_at_a_time(queue: redis.Redis, env: dict[str, str]) -> None:
    queue.set("clipqueue:sweep:clipqueue.shop:lock", "other")
    done = invoke("sweep", **env)
    assert (done.returncode, done.stdout) == (0, "another sweep of this collection is running\n")
    assert queue.get("clipqueue:sweep:clipqueue.shop:lock") == b"other"


def test_the_result_is_one_line(shop: Collection[Document], env: dict[str, str]) -> None:
    shop.insert_many(
        [
            {"_id": "due", "embedding_job": pending()},
            {"_id": "young", "embedding_job": pending(0)},
            {"_id": "b\x1b[2Jd", "url": URL},
        ]
    )
    done = invoke("sweep", "--adopt", **env)
    assert (done.returncode, done.stdout) == (0, "queued again: 1, not due yet: 1, unusable: 1\n")
    assert done.stderr == "'b\\x1b[2Jd': image_id contains a control character\n"


def test_a_slow_mongodb_is_named(
    shop: Collection[Document], env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.insert_one({"_id": "a", "embedding_job": pending()})
    assert "slow" not in invoke("sweep", **env).stderr
    monkeypatch.setattr("producer.cli.sweep._SLOW_S", 0.0)
    assert "MongoDB is slow: it needed 0 s for one page. clipqueue index create" in invoke("sweep", **env).stderr


def test_the_settings_may_come_from_the_environment(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    shop.insert_many([{"_id": f"p-{number}", "photo": URL} for number in range(3)])
    settings = {"CLIPQUEUE_SWEEP_AGE_S": "0", "CLIPQUEUE_SWEEP_MAX_QUEUED": "2", "CLIPQUEUE_URL_FIELD": "photo"}
    assert invoke("sweep", **env, **settings).stdout.startswith("queued again: 2,")


def test_documents_that_nobody_has_enqueued_need_a_word(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    """The field `url` of a collection may have anything, such as the pages of articles."""
    shop.insert_many([{"_id": f"p-{number}", "url": f"https://news.example/{number}"} for number in range(1200)])
    shop.insert_many([{"_id": f"q-{number}", "url": URL, "photo": URL} for number in range(2)])
    sweep = ("sweep", "--age", "0")
    assert invoke(*sweep, **env).stdout == "queued again: 0, not due yet: 0, unusable: 0\n"
    assert queue.llen("images") == 0
    assert invoke(*sweep, "--url-field", "photo", **env).stdout.startswith("queued again: 2,")
    assert sorted(queued_ids(queue)) == ["q-0", "q-1"]
    assert invoke("purge", "--yes", **env).returncode == 0
    assert invoke(*sweep, "--adopt", "--max-queued", "5000", **env).stdout.startswith("queued again: 1202,")
    assert len(set(queued_ids(queue))) == queue.llen("images") == 1202


def test_a_sweep_that_adopts_does_not_make_one_that_does_not_skip_recorded_jobs(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    shop.insert_many([{"_id": f"p-{number}", "url": URL} for number in range(1000)])
    full = invoke("sweep", "--age", "0", "--adopt", "--max-queued", "600", **env)
    assert full.stdout.endswith("the queue is full, a later sweep continues\n")
    shop.insert_one({"_id": "recorded", "embedding_job": pending()})
    queue.delete("images")
    assert invoke("sweep", "--age", "0", **env).stdout.startswith("queued again: 1,")


@pytest.mark.parametrize(("field", "queued"), [("photo", 1), ("", 0)])
def test_the_field_in_the_environment_adopts_too(
    field: str, queued: int, shop: Collection[Document], env: dict[str, str]
) -> None:
    shop.insert_one({"_id": "a", "photo": URL})
    swept = invoke("sweep", "--age", "0", CLIPQUEUE_URL_FIELD=field, **env)
    assert swept.stdout.startswith(f"queued again: {queued},")


def test_a_full_queue_is_reported(queue: redis.Redis, shop: Collection[Document], env: dict[str, str]) -> None:
    shop.insert_many([{"_id": f"p-{number}", "embedding_job": pending()} for number in range(3)])
    outputs = [invoke("sweep", "--max-queued", "2", **env).stdout for _ in range(2)]
    assert outputs[0].startswith("queued again: 2,")
    assert outputs[0].endswith("the queue is full, a later sweep continues\n")
    assert outputs[1] == "queued again: 0, because the queue is full; a later sweep tries again\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_sweeps_repeatedly_until_a_signal_stops_it(
    number: signal.Signals, queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    shop.insert_one({"_id": "c", "embedding_job": pending()})
    sweeping = start_sweeping({**env, "CLIPQUEUE_SWEEP_EVERY_S": "0.1"})
    try:
        wait_for(lambda: queued_ids(queue) == ["c"], "the first document")
        shop.insert_one({"_id": "b", "embedding_job": pending()})  # a sweep that runs has read up to the c
        wait_for(lambda: queued_ids(queue) == ["c", "b"], "the second document")
        shop.insert_one({"_id": "a", "embedding_job": pending()})  # once it is queued, the second was reported
        wait_for(lambda: queued_ids(queue) == ["c", "b", "a"], "the third document")
        sweeping.send_signal(number)
        output, errors = sweeping.communicate(timeout=120)
    finally:
        sweeping.kill()
    assert sweeping.returncode == 0
    assert output.count("queued again: 1,") in (2, 3)
    assert errors == ""


def test_sweeping_continues_after_an_outage(shop: Collection[Document], stack: Stack, tmp_path: Path) -> None:
    """The outage is reported once."""
    shop.insert_one({"_id": "first", "embedding_job": pending()})
    with Stack(tmp_path) as later:
        env = {"REDIS_URL": later.redis_url, "MONGODB_URI": stack.mongodb_uri, "CLIPQUEUE_COLLECTION": "shop"}
        sweeping = start_sweeping({**env, "CLIPQUEUE_SWEEP_EVERY_S": "0.1"})
        try:
            assert sweeping.stdout is not None
            line = sweeping.stdout.readline()
            assert " WARNING clipqueue.sweep " in line
            assert "the next sweep tries again" in line
            later.start("redis", later._redis_command())
            assert " INFO clipqueue.sweep queued again: 1," in sweeping.stdout.readline(), "the outage is told once"
            sweeping.terminate()
            assert sweeping.communicate(timeout=120)[1] == ""
        finally:
            sweeping.kill()
    assert sweeping.returncode == 0


@pytest.mark.parametrize(
    ("missing", "complaint"), [("REDIS_URL", "REDIS_URL is not"), ("MONGODB_URI", "MONGODB_URI is not")]
)
def test_missing_settings_are_named(missing: str, complaint: str, env: dict[str, str]) -> None:
    done = invoke("sweep", **{name: value for name, value in env.items() if name != missing})
    assert done.returncode == 1
    assert complaint in done.stderr
