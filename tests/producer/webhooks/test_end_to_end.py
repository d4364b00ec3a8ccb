"""From a job to a receiver: a real worker, the real command in a process of its own, and HTTP."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import pytest

from producer.contract.names import ENDED, NOTIFY_LOCK
from tests.producer.webhooks.conftest import SECRET, add_events
from tests.support.commands import COMMAND, invoke, run, start
from tests.support.messages import hand_made_message
from tests.support.pictures import small_jpeg
from tests.support.receiver import WebhookReceiver
from tests.support.servers import Answer
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    import redis

    from producer.local.stack import Stack
    from tests.conftest import StartWorker
    from tests.support.servers import ImageServer


@pytest.fixture
def start_notify(own: Stack, receiver: WebhookReceiver) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """A function that starts `clipqueue notify` on `own`."""
    started: list[subprocess.Popen[str]] = []
    env = {
        **os.environ,
        "REDIS_URL": own.redis_url,
        "CLIPQUEUE_WEBHOOK_URL": receiver.hook,
        "CLIPQUEUE_WEBHOOK_SECRET": SECRET,
    }

    def run() -> subprocess.Popen[str]:
        started.append(start([*COMMAND, "notify"], env))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def has_received(receiver: WebhookReceiver, count: int) -> bool:
    return len(receiver.received) == count


def test_jobs_that_end_reach_the_receiver(
    start_worker: StartWorker,
    start_notify: Callable[[], subprocess.Popen[str]],
    own_broker: redis.Redis,
    images: ImageServer,
    receiver: WebhookReceiver,
) -> None:
    start_worker(CLIPQUEUE_WEBHOOK_URL=receiver.hook)
    notify = start_notify()
    url, gone = images.add("/a.jpg", small_jpeg()), images.add("/b.jpg", Answer(b"", 404))
    for number, job in enumerate(({"image_id": "a", "url": url + "?signature=1"}, {"image_id": "b", "url": gone}), 1):
        own_broker.lpush("images", hand_made_message(job))
        wait_for(partial(has_received, receiver, number), "the webhook")
    done, failed = (request.event for request in receiver.received)
    assert (done["type"], done["data"]) == ("image.done", {"id": "a", "url": url, "model": "fake/model"})
    assert (failed["type"], failed["data"]["error"]["code"]) == ("image.failed", "http_404")
    notify.send_signal(signal.SIGTERM)
    output, errors = notify.communicate(timeout=60)
    assert (notify.returncode, errors) == (0, "")
    assert output.splitlines()[-1].endswith(" INFO clipqueue.notify stopped; sent: 2")
    assert "secret" not in output
    assert own_broker.xlen(ENDED) == own_broker.exists(NOTIFY_LOCK) == 0


def test_an_event_that_was_sent_by_a_killed_process_is_sent_again_with_the_same_id(
    start_notify: Callable[[], subprocess.Popen[str]], own_broker: redis.Redis, receiver: WebhookReceiver
) -> None:
    """The receiver kills it before it answers."""
    first = start_notify()

    def kill(_: object) -> Answer:
        first.kill()
        first.wait()
        return Answer(b"", 204)

    receiver.answer = kill
    add_events(own_broker, "a", "b")
    wait_for(lambda: first.poll() is not None, "the process to be killed")
    assert own_broker.xlen(ENDED) == 2
    receiver.answer = lambda _: Answer(b"", 204)
    own_broker.delete(NOTIFY_LOCK)  # it would expire
    start_notify()
    wait_for(lambda: own_broker.xlen(ENDED) == 0, "the events to be delivered")
    assert [request.id for request in receiver.received] == ["task-a", "task-a", "task-b"]


@pytest.fixture
def _signals() -> Iterator[None]:
    """Restores the signal handlers, which the command replaces in this process too."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_receiver_that_wants_no_more_ends_the_command_with_1(own: Stack, own_broker: redis.Redis) -> None:
    add_events(own_broker, "a")
    with closing(WebhookReceiver(lambda _: Answer(b"", 410))) as receiver:
        env = {"CLIPQUEUE_WEBHOOK_URL": receiver.hook, "CLIPQUEUE_WEBHOOK_SECRET": SECRET}
        done = run("notify", REDIS_URL=own.redis_url, **env)
    assert done.returncode == 1
    assert "wants no more webhooks: it answered 410 Gone" in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.usefixtures("_signals")
@pytest.mark.parametrize("missing", ["CLIPQUEUE_WEBHOOK_URL", "CLIPQUEUE_WEBHOOK_SECRET", "REDIS_URL"])
def test_a_missing_setting_is_named(missing: str) -> None:
    env = {
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "CLIPQUEUE_WEBHOOK_URL": "http://127.0.0.1:1/",
        "CLIPQUEUE_WEBHOOK_SECRET": SECRET,
    }
    done = invoke("notify", **{**env, missing: ""})
    assert done.returncode == 1
    assert f"{missing} is not set" in done.stderr
