"""Messages that are malformed, or whose headers are: the worker drops or repairs them, and does the next job."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.messages import hand_made_message
from tests.support.pictures import small_jpeg
from tests.support.servers import Answer
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    import redis

    from tests.support.servers import ImageServer

Document = dict[str, Any]
ResultOf = Callable[[Any], Document]

pytestmark = pytest.mark.usefixtures("worker_log")

DROPPED = object()
KWARGS = {"image_id": "a", "url": "http://host/a.jpg?sig=deadbeef"}


def malformed(**changes: Any) -> str:
    """Return a message with a signed URL, after these changes to it and to its headers."""
    message = json.loads(hand_made_message({"image_id": "malformed", "url": "http://host/a.jpg?sig=deadbeef"}))
    headers = {**message["headers"], **changes.pop("headers", {})}
    message.update(changes, headers={name: value for name, value in headers.items() if value is not DROPPED})
    return json.dumps({name: value for name, value in message.items() if value is not DROPPED})


def body(content: object) -> str:
    return base64.b64encode(json.dumps(content).encode()).decode()


MALFORMED = {
    "keyword arguments alone": malformed(body=body(KWARGS)),
    "two of three parts": malformed(body=body([[], KWARGS])),
    "a third part of the wrong type": malformed(body=body([[], KWARGS, "x"])),
    "arguments of the wrong type": malformed(body=body([None, KWARGS, {}])),
    "a number": malformed(body=body(7)),
    "null": malformed(body=body(None)),
    "an empty body": malformed(body=""),
    "no body": malformed(body=DROPPED),
    "no content type": malformed(**{"content-type": DROPPED}),
    "pickle": malformed(**{"content-type": "application/x-python-serialize"}),
    "no task id": malformed(headers={"id": DROPPED}),
    "a task id that is not a string": malformed(headers={"id": {"a": 1}}),
    "an unknown task": malformed(headers={"task": "no.such.task"}),
    "an eta that cannot be parsed": malformed(headers={"eta": "soon"}),
    "a time limit of the wrong type": malformed(headers={"timelimit": 5}),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_message_does_not_stop_the_next_one(
    case: str, broker: redis.Redis, images: ImageServer, result_of: ResultOf, new_id: str, worker_log: Path
) -> None:
    """Some of these messages end a plain Celery worker, return to the queue and end the next worker."""
    good = hand_made_message({"image_id": new_id, "url": images.add("/a.jpg", small_jpeg())})
    broker.lpush("images", MALFORMED[case], good)
    assert result_of(new_id)["embedding_job"]["status"] == "done"
    wait_for(lambda: broker.hlen("unacked") == 0, "the malformed message to be acked, which frees its thread")
    assert broker.llen("images") == 0
    assert "deadbeef" not in worker_log.read_text()


@pytest.mark.parametrize(
    ("kwargs", "complaint"),
    [
        ({}, "url"),
        ({"url": 7}, "url must be a string"),
        ({"url": "ftp://host/file"}, "scheme"),
        ({"url": "http://host/", "enqueued_at": "yesterday"}, "enqueued_at"),
        ({"url": "http://host/", "force": "yes"}, "force"),
    ],
)
def test_an_invalid_job_with_a_valid_id_is_recorded_in_its_document(
    kwargs: Document, complaint: str, broker: redis.Redis, result_of: ResultOf, new_id: str
) -> None:
    broker.lpush("images", hand_made_message({"image_id": new_id, **kwargs}))
    document = result_of(new_id)
    error = document["embedding_job"]["error"]
    assert (error["code"], error["stage"]) == ("invalid_job", "receive")
    assert complaint in error["message"]
    assert "url" not in document


@pytest.mark.parametrize("retries", ["abc", None, -5, 1.5])
def test_an_invalid_retry_count_is_read_as_zero(
    retries: Any, broker: redis.Redis, images: ImageServer, result_of: ResultOf, new_id: str
) -> None:
    url = images.add("/a.jpg", Answer(b"", 503), Answer(small_jpeg()))
    message = json.loads(hand_made_message({"image_id": new_id, "url": url}))
    message["headers"]["retries"] = retries
    broker.lpush("images", json.dumps(message))
    job = result_of(new_id)["embedding_job"]
    assert (job["status"], job["attempts"]) == ("done", 2)


def test_a_huge_retry_count_allows_no_retry(
    broker: redis.Redis, images: ImageServer, result_of: ResultOf, new_id: str
) -> None:
    message = json.loads(hand_made_message({"image_id": new_id, "url": images.add("/a.jpg", Answer(b"", 503))}))
    message["headers"]["retries"] = 10**30
    broker.lpush("images", json.dumps(message))
    assert result_of(new_id)["embedding_job"]["error"]["code"] == "http_503"
    assert images.hits["/a.jpg"] == 1


@pytest.mark.parametrize("names", [{"routing_key": "celery"}, {"exchange": "celery", "routing_key": "images"}])
def test_a_retry_returns_to_the_queue_whatever_the_delivery_info_says(
    names: dict[str, str], broker: redis.Redis, images: ImageServer, result_of: ResultOf, new_id: str
) -> None:
    url = images.add("/a.jpg", Answer(b"", 503), Answer(small_jpeg()))
    message = json.loads(hand_made_message({"image_id": new_id, "url": url}))
    message["properties"]["delivery_info"].update(names)
    broker.lpush("images", json.dumps(message))
    assert result_of(new_id)["embedding_job"]["status"] == "done"
