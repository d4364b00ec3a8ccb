"""Jobs that wait for their next attempt hold nothing in a worker, and survive whatever becomes of it."""

from __future__ import annotations

import base64
import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from producer.contract.names import DELAYED
from tests.support.delayed import make_due
from tests.support.messages import hand_made_message
from tests.support.pictures import small_jpeg
from tests.support.servers import Answer
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    import redis
    from pymongo.collection import Collection

    from tests.conftest import StartWorker
    from tests.support.servers import ImageServer

Document = dict[str, Any]
JOBS = 50
AWAY = Answer(b"", 503, {"Retry-After": "3000"})
DONE = {"embedding_job.status": "done"}


def enqueue(broker: redis.Redis, url: str, count: int = 1, **headers: Any) -> None:
    jobs = ({"image_id": f"photo-{number}", "url": url} for number in range(count))
    broker.lpush("images", *(hand_made_message(job, headers=headers) for job in jobs))


def on_redis(broker: redis.Redis) -> tuple[Any, ...]:
    """Return how many messages wait on the queue, are unacked, and are delayed."""
    return broker.llen("images"), broker.hlen("unacked"), broker.zcard(DELAYED)


def test_retries_wait_on_redis_and_other_workers_run_them(
    start_worker: StartWorker, own_broker: redis.Redis, own_collection: Collection[Document], images: ImageServer
) -> None:
    """The server asks for 50 minutes, twice. A worker with four threads tries all jobs, and holds none meanwhile."""
    url = images.add("/a.jpg", *[AWAY] * (2 * JOBS), Answer(small_jpeg()))
    enqueue(own_broker, url, JOBS)
    for retry, ending in enumerate((signal.SIGKILL, signal.SIGTERM), 1):
        worker = start_worker(CLIPQUEUE_CONCURRENCY="4", CLIPQUEUE_FETCH_PER_HOST="4")
        wait_for(lambda: images.hits["/a.jpg"] == retry * JOBS, "every job to be tried")  # noqa: B023
        wait_for(lambda: on_redis(own_broker) == (0, 0, JOBS), "every job to wait on Redis")
        assert own_collection.count_documents({}) == 0, "no result is recorded"
        assert worker.log.count(f"runs again in 3000 s: retry {retry} (http_503)") == JOBS
        worker.process.send_signal(ending)
        assert worker.process.wait(30) == (0 if ending == signal.SIGTERM else -ending)
        assert on_redis(own_broker) == (0, 0, JOBS)
        make_due(own_broker)
    start_worker()
    wait_for(lambda: own_collection.count_documents({"embedding_job.attempts": 3, **DONE}) == JOBS, "all to be done")
    wait_for(lambda: on_redis(own_broker) == (0, 0, 0), "Redis to be empty")
    assert images.hits["/a.jpg"] == 3 * JOBS


@pytest.mark.usefixtures("worker_log")
def test_two_deliveries_of_one_job_are_delayed_apart_and_keep_their_count_of_lost_workers(
    broker: redis.Redis, images: ImageServer
) -> None:
    message = hand_made_message({"image_id": "twin", "url": images.add("/a.jpg", AWAY)}, headers={"clipqueue_lost": 1})
    broker.lpush("images", message, message)
    wait_for(lambda: on_redis(broker) == (0, 0, 2), "both to wait")
    members: Any = broker.zrange(DELAYED, 0, -1)
    broker.delete(DELAYED)
    headers = [json.loads(member)["headers"] for member in members]
    assert [(one["retries"], one["clipqueue_lost"]) for one in headers] == [(1, 1), (1, 1)]
    assert {one["id"] for one in headers} == {json.loads(message)["headers"]["id"]}


@pytest.mark.usefixtures("worker_log")
def test_flower_is_told_that_a_job_is_retried_when_and_why(broker: redis.Redis, images: ImageServer) -> None:
    events: list[dict[str, Any]] = []

    def read() -> list[dict[str, Any]]:
        """Read what Celery has published: several events as JSON in a message."""
        while published := channel.get_message(ignore_subscribe_messages=True):
            body = json.loads(base64.b64decode(json.loads(published["data"])["body"]))
            events.extend(body if isinstance(body, list) else [body])
        return [event for event in events if images.url in event.get("exception", "")]

    with broker.pubsub() as channel:  # type: ignore[no-untyped-call]
        channel.psubscribe("*celeryev*")
        enqueue(broker, images.add("/a.jpg", AWAY) + "?signature=secret")
        (event,) = wait_for(read, "the event")
    broker.delete(DELAYED)
    assert event["type"] == "task-retried"
    assert "/a.jpg answered 503" in event["exception"]
    assert "Retry in 3000.0s" in event["traceback"]
    assert "secret" not in json.dumps(events)
