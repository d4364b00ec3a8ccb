"""The golden test: each field of our message equals the one of the message that Celery's own producer sends."""

from __future__ import annotations

import ast
import base64
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from kombu.entity import Queue

from producer.contract.job import ImageJob, describe_kwargs
from producer.contract.message import image_message
from worker.broker.validation import validate_message

if TYPE_CHECKING:
    import redis

    from producer.local.stack import Stack

# These differ between any two messages. Celery's reply_to names the queue of its RPC result backend, which is not used
# here; ours is empty.
VOLATILE = ("delivery_tag", "reply_to")
TEXT = "kwargsrepr"  # Celery writes Python's repr; ours is JSON without the URL's query


def decoded(raw: bytes) -> dict[str, Any]:
    """Return the message with its body decoded, without the fields that cannot be equal."""
    message: dict[str, Any] = json.loads(raw)
    message["body"] = json.loads(base64.b64decode(message["body"]))
    for name in VOLATILE:
        assert isinstance(message["properties"].pop(name), str)
    return message


@pytest.fixture
def celery_message(stack: Stack, broker: redis.Redis) -> Any:
    """A function that sends a job with Celery's own producer and returns the raw message."""
    app = Celery(broker=stack.redis_url, set_as_current=False)
    # A separate queue, because the worker of other tests consumes the real one.
    app.conf.task_queues = [Queue("golden")]  # type: ignore[no-untyped-call]

    def send(job: ImageJob, task_id: str) -> bytes:
        app.send_task(
            "clipqueue.embed_image",
            kwargs=job.to_kwargs(),
            task_id=task_id,
            queue="golden",
            ignore_result=True,
        )
        raw = broker.rpop("golden")
        assert isinstance(raw, bytes)
        return raw

    yield send
    app.close()


@pytest.mark.parametrize("image_id", ["photo-1", {"$oid": "65f0c0ffee65f0c0ffee65f0"}], ids=["string", "ObjectId"])
@pytest.mark.parametrize("force", [False, True])
def test_our_message_equals_celerys(image_id: object, force: bool, celery_message: Any) -> None:
    """Every field of the envelope, the headers, the properties and the body."""
    job = ImageJob.new(image_id, "https://host/ü.jpg", force=force)
    task_id = str(uuid.uuid4())

    theirs, ours = decoded(celery_message(job, task_id)), decoded(image_message(job, task_id))

    theirs["properties"]["delivery_info"]["routing_key"] = "images"  # the only difference
    assert json.loads(ours["headers"].pop(TEXT)) == ast.literal_eval(theirs["headers"].pop(TEXT))
    assert ours == theirs
    assert {name: type(value) for name, value in ours["headers"].items()} == {
        name: type(value) for name, value in theirs["headers"].items()
    }


def test_each_message_has_its_own_delivery_tag() -> None:
    """kombu stores unacked messages by this tag, so two messages with one tag would overwrite each other."""
    job = ImageJob.new("a", "http://host/")
    tags = {json.loads(image_message(job, "t"))["properties"]["delivery_tag"] for _ in range(100)}
    assert len(tags) == 100


def test_the_text_that_flower_shows_contains_no_query() -> None:
    job = ImageJob.new("a", "http://host/a.jpg?sig=secret")
    assert "secret" not in json.loads(image_message(job, "t"))["headers"]["kwargsrepr"]


def test_workers_accept_the_message_of_the_longest_job() -> None:
    """JSON escapes each of these characters as 12 bytes, in the body and in the description."""
    job = ImageJob.new("\N{GRINNING FACE}" * 1024, "http://h/" + "\N{GRINNING FACE}" * 2039)
    clean = validate_message(image_message(job, str(uuid.uuid4())))
    assert json.loads(base64.b64decode(clean["body"]))[1] == job.to_kwargs()


def test_the_description_of_keyword_arguments_contains_no_query() -> None:
    """Any argument may be a URL: some backends use URLs as ids."""
    url = "https://host/a.jpg?sig=deadbeef"
    described = describe_kwargs({"image_id": url, "url": url, "enqueued_at": url, "force": url})
    assert "https://host/a.jpg" in described
    assert "deadbeef" not in described
