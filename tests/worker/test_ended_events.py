"""Which jobs leave an event for webhooks: those that end, and no others. Without the setting, none does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from producer.contract.names import ENDED
from tests.support.messages import hand_made_message
from tests.support.pictures import small_jpeg
from tests.support.queued import has_ended
from tests.support.servers import Answer, SocketServer
from tests.support.waiting import wait_for
from tests.support.workers import QUICK_REDELIVERY

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    import redis
    from pymongo.collection import Collection

    from tests.conftest import StartWorker
    from tests.support.servers import ImageServer

Document = dict[str, Any]
WEBHOOKS = {"CLIPQUEUE_WEBHOOK_URL": "http://127.0.0.1:9/hook", "CLIPQUEUE_UPSERT": "true"}


def ended(broker: redis.Redis) -> list[Document]:
    entries: Any = broker.xrange(ENDED)
    return [json.loads(fields[b"event"]) for _, fields in entries]


@pytest.fixture
def run(own_broker: redis.Redis) -> Callable[..., list[Document]]:
    """A function that enqueues jobs one after the other, each when the last has ended, and returns all events."""

    def run(*jobs: Document, task_ids: tuple[str, ...] = ()) -> list[Document]:
        for number, job in enumerate(jobs):
            message = json.loads(hand_made_message(job))
            if task_ids:
                message["headers"]["id"] = task_ids[number]
            own_broker.lpush("images", json.dumps(message))
            wait_for(lambda: has_ended(own_broker), "the job to end")
        return ended(own_broker)

    return run


def test_each_job_that_ends_leaves_one_event(
    start_worker: StartWorker, run: Callable[..., list[Document]], images: ImageServer, own_broker: redis.Redis
) -> None:
    start_worker(**WEBHOOKS)
    url, away = images.add("/a.jpg", small_jpeg()), images.add("/b.jpg", Answer(b"", 404))
    flaky = images.add("/c.jpg", Answer(b"", 503), Answer(small_jpeg()))
    found = run(
        {"image_id": "photo", "url": url + "?signature=secret"},
        {"image_id": "photo", "url": url + "?signature=secret"},  # skipped: its vector is current
        {"image_id": "photo", "url": url, "force": True},
        {"image_id": "gone", "url": away},
        {"image_id": "flaky", "url": flaky},  # retried once
        {"image_id": "invalid", "url": "ftp://e.example/a.jpg"},
        {"image_id": "photo", "url": away, "enqueued_at": 1_700_000_000_000},  # superseded
        task_ids=tuple("abcdefg"),
    )
    assert [(one["task_id"], one["image_id"], one["status"]) for one in found] == [
        ("a", "photo", "done"),
        ("b", "photo", "done"),
        ("c", "photo", "done"),
        ("d", "gone", "failed"),
        ("e", "flaky", "done"),
        ("f", "invalid", "failed"),
    ]
    assert found[0]["url"] == url
    assert found[0]["model"] == "fake/model"
    assert found[3]["error"]["code"] == "http_404"
    assert found[5]["error"]["code"] == "invalid_job"
    assert "url" not in found[5]
    assert not own_broker.exists("clipqueue:ended_dropped")


@pytest.mark.chaos
def test_a_worker_that_is_killed_between_its_write_and_its_ack_loses_no_event(
    start_worker: StartWorker, own_broker: redis.Redis, own_collection: Collection[Document]
) -> None:
    """The job runs again on another worker, which finds its vector, and acks the message and adds the event."""
    jpeg = small_jpeg()

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        own_broker.client_pause(60_000, all=False)  # from now on, Redis answers no command that writes
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(jpeg) + jpeg)

    worker = start_worker(**WEBHOOKS, **QUICK_REDELIVERY)
    with SocketServer(serve) as server:
        own_broker.lpush("images", hand_made_message({"image_id": "photo", "url": server.url}))
        wait_for(lambda: own_collection.count_documents({"embedding_job.status": "done"}), "the write to MongoDB")
        worker.process.kill()
        worker.process.wait()
        own_broker.client_unpause()
    assert ended(own_broker) == []
    assert own_broker.hlen("unacked") == 1
    start_worker(**WEBHOOKS, **QUICK_REDELIVERY)
    wait_for(lambda: has_ended(own_broker), "the job to end")
    assert [(one["image_id"], one["status"]) for one in ended(own_broker)] == [("photo", "done")]


def test_a_job_without_a_document_leaves_no_event_if_none_may_be_created(
    start_worker: StartWorker, run: Callable[..., list[Document]], images: ImageServer
) -> None:
    start_worker(**{**WEBHOOKS, "CLIPQUEUE_UPSERT": "false"})
    away = images.add("/b.jpg", Answer(b"", 404))
    assert run({"image_id": "deleted", "url": images.add("/a.jpg", small_jpeg())}, {"image_id": "x", "url": away}) == []


def test_without_the_setting_there_is_no_stream(
    start_worker: StartWorker,
    run: Callable[..., list[Document]],
    images: ImageServer,
    own_broker: redis.Redis,
    own_collection: Collection[Document],
) -> None:
    start_worker()
    assert run({"image_id": "photo", "url": images.add("/a.jpg", small_jpeg())}) == []
    assert own_collection.count_documents({"embedding_job.status": "done"}) == 1
    assert not own_broker.exists(ENDED)
