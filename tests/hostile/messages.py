"""Malformed and malicious messages, by what the worker does with them."""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from typing import Any

from tests.support.messages import hand_made_message

URL = "http://127.0.0.2/a.jpg?sig=deadbeef"
DROPPED = object()


def changed(message: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    both = {**message, **changes}
    return {key: value for key, value in both.items() if value is not DROPPED}


def message(
    kwargs: Any = None,
    *,
    headers: dict[str, Any] | None = None,
    properties: dict[str, Any] | None = None,
    content: Any = None,
    envelope: dict[str, Any] | None = None,
) -> str:
    """Return the message of a job with some parts changed or dropped."""
    whole = json.loads(hand_made_message(kwargs if kwargs is not None else {"image_id": "hostile", "url": URL}))
    if content is not None:
        whole["body"] = encoded(content)
    whole["headers"] = changed(whole["headers"], headers or {})
    whole["properties"] = changed(whole["properties"], properties or {})
    return json.dumps(changed(whole, envelope or {}))


def encoded(body: Any) -> str:
    return base64.b64encode(json.dumps(body).encode()).decode()


def job(**kwargs: Any) -> dict[str, Any]:
    return {"image_id": "hostile", "url": URL, **kwargs}


# Items without a valid image id, so that no failure can be recorded: they are parked.
PARKED: dict[str, str | bytes] = {
    "text": "hello",
    "nothing": "",
    "one null": b"\x00",
    "half a message": message()[:200],
    "a message and more": message() + "x",
    "two messages": message() + message(),
    "bytes": bytes(range(256)),
    "UTF-16": message().encode("utf-16"),
    "a number": "7",
    "null": "null",
    "a string": '"message"',
    "a list": "[]",
    "an empty object": "{}",
    "NaN": "NaN",
    "a number of 5,000 digits": "9" * 5000,
    "deeply nested lists": "[" * 30_000,
    "deeply nested objects": '{"a":' * 10_000,
    "10 MB": b"x" * 10_000_000,
    "10 MB of JSON": message(job(title="x" * 10_000_000)),
    "deeply nested lists in the body": message(envelope={"body": base64.b64encode(b"[" * 30_000).decode()}),
    "pickle": pickle.dumps({"task": "clipqueue.embed_image"}),
    "pickle in the body": message(
        envelope={
            "content-type": "application/x-python-serialize",
            "content-encoding": "binary",
            "body": base64.b64encode(pickle.dumps(([], job(), {}))).decode(),
        }
    ),
    "YAML": message(envelope={"content-type": "application/x-yaml"}),
    "msgpack": message(envelope={"content-type": "application/x-msgpack"}),
    "no content type": message(envelope={"content-type": DROPPED}),
    "a compressed body": message(
        headers={"compression": "application/x-gzip"},
        envelope={"body": base64.b64encode(zlib.compress(json.dumps([[], job(), {}]).encode())).decode()},
    ),
    "a body that is not base64": message(envelope={"body": "!!!"}),
    "a body that is not ASCII": message(envelope={"body": "\u2603"}),
    "a body that is a number": message(envelope={"body": 7}),
    "no body": message(envelope={"body": DROPPED}),
    "an unknown body encoding": message(properties={"body_encoding": "rot13"}),
    "no headers": message(envelope={"headers": DROPPED}),
    "headers that are a list": message(envelope={"headers": []}),
    "no properties": message(envelope={"properties": DROPPED}),
    "properties that are null": message(envelope={"properties": None}),
    "no task": message(headers={"task": DROPPED}),
    "an unknown task": message(headers={"task": "os.system"}),
    "a task that is a list": message(headers={"task": ["clipqueue.embed_image"]}),
    "a built-in task of Celery": message(headers={"task": "celery.backend_cleanup"}),
    "another task of Celery": message(headers={"task": "celery.chord_unlock"}),
    "protocol 1": json.dumps({"task": "clipqueue.embed_image", "id": "1", "args": [], "kwargs": job()}),
    "a body of one part": message(content=[job()]),
    "a body of four parts": message(content=[[], job(), {}, {}]),
    "arguments by position": message(content=[["hostile", URL], {}, {}]),
    "keyword arguments that are a list": message(content=[[], [], {}]),
    "no id": message({"url": URL}),
    "an empty id": message(job(image_id="")),
    "null as id": message(job(image_id=None)),
    "a fraction as id": message(job(image_id=7.5)),
    "an integer beyond 64 bits as id": message(job(image_id=2**63)),
    "an integer of a thousand digits as id": message(job(image_id={"$numberLong": "9" * 1000})),
    "an integer of another script as id": message(job(image_id={"$numberLong": "\N{ARABIC-INDIC DIGIT FIVE}"})),
    "an integer and an operator": message(job(image_id={"$numberLong": "5", "$gt": 1})),
    "a UUID of an object": message(job(image_id={"$uuid": {"$gt": ""}})),
    "a UUID in braces": message(job(image_id={"$uuid": "{123e4567-e89b-12d3-a456-426614174000}"})),
    "code as binary": message(job(image_id={"$binary": {"base64": "Y29kZQ==", "subType": "04"}})),
    "true as id": message(job(image_id=True)),
    "a list as id": message(job(image_id=["a"])),
    "an operator as id": message(job(image_id={"$gt": ""})),
    "a script as id": message(job(image_id={"$where": "sleep(10000)"})),
    "an ObjectId and an operator": message(job(image_id={"$oid": "65f0c0ffee65f0c0ffee65f0", "$ne": 1})),
    "an ObjectId of an object": message(job(image_id={"$oid": {"$gt": ""}})),
    "an ObjectId of 23 digits": message(job(image_id={"$oid": "65f0c0ffee65f0c0ffee65f"})),
    "a null character in the id": message(job(image_id="a\x00b")),
    "a line feed in the id": message(job(image_id="a\nb")),
    "an escape in the id": message(job(image_id="\x1b[2J")),
    "a lone surrogate in the id": message(job(image_id="a\ud800")),
    "an id of 2,000 characters": message(job(image_id="x" * 2000)),
    "an object of kombu's as id": message(job(image_id={"__type__": "uuid", "__value__": {"hex": "x"}})),
}

# Invalid keyword arguments next to a valid id: the failure is recorded.
RECORDED: dict[str, dict[str, Any]] = {
    "no URL": {"url": DROPPED},
    "null as URL": {"url": None},
    "a list as URL": {"url": [URL]},
    "an object as URL": {"url": {"$gt": ""}},
    "an object of kombu's as URL": {"url": {"__type__": "decimal", "__value__": "x"}},
    "a URL of 10,000 characters": {"url": "http://127.0.0.1/" + "x" * 10_000},
    "a null character in the URL": {"url": "http://127.0.0.1/\x00"},
    "a lone surrogate in the URL": {"url": "http://127.0.0.1/\ud800"},
    "a word as time": {"enqueued_at": "now"},
    "NaN as time": {"enqueued_at": float("nan")},
    "an infinite time": {"enqueued_at": float("inf")},
    "a negative time": {"enqueued_at": -1},
    "half a millisecond": {"enqueued_at": 1.5},
    "true as time": {"enqueued_at": True},
    "nested lists as time": {"enqueued_at": [[[[[[]]]]]]},
    "a word as force": {"force": "yes"},
    "a number as force": {"force": 1},
    "an object as force": {"force": {"$ne": False}},
}

# Invalid parts around a valid job: the worker ignores or repairs them, and the job fails because of its URL.
REPAIRED: dict[str, str] = {
    "no task id": message(job(image_id="s0"), headers={"id": DROPPED}),
    "a task id that is an object": message(job(image_id="s1"), headers={"id": {"a": 1}}),
    "a task id of 10,000 characters": message(job(image_id="s2"), headers={"id": "x" * 10_000}),
    "no delivery tag": message(job(image_id="s3"), properties={"delivery_tag": DROPPED}),
    "a delivery tag that is a list": message(job(image_id="s4"), properties={"delivery_tag": []}),
    "no delivery information": message(job(image_id="s5"), properties={"delivery_info": DROPPED}),
    "another queue in the delivery information": message(
        job(image_id="s6"), properties={"delivery_info": {"exchange": "celery.pidbox", "routing_key": "unacked"}}
    ),
    "a word as priority": message(job(image_id="s7"), properties={"priority": "high"}),
    "a reply queue": message(job(image_id="s8"), properties={"reply_to": "../../x"}),
    "an expiry in the past": message(job(image_id="s9"), headers={"expires": "2001-01-01T00:00:00"}),
    "a word as ETA": message(job(image_id="s10"), headers={"eta": "soon"}),
    "the year 9999 as ETA": message(job(image_id="s11"), headers={"eta": "9999-12-31T23:59:59.999999+00:00"}),
    "the year 1 as ETA": message(job(image_id="s25"), headers={"eta": "0001-01-01T00:00:00+23:59", "retries": 1}),
    "seconds in a UTC offset": message(
        job(image_id="s26"), headers={"eta": "2024-01-01T00:00:00+05:30:15", "retries": 1}
    ),
    "a retry in the year 9999": message(job(image_id="s27"), headers={"eta": "9999-01-01T00:00:00", "retries": 1}),
    "a number as ETA": message(job(image_id="s12"), headers={"eta": 1e308}),
    "a time limit": message(job(image_id="s13"), headers={"timelimit": [0.001, 0.001]}),
    "a number as time limit": message(job(image_id="s14"), headers={"timelimit": 5}),
    "stamps": message(job(image_id="s15"), headers={"stamps": 7, "stamped_headers": {"x": 1}}),
    "unknown headers": message(job(image_id="s16"), headers={"headers": "x", "shadow": ["x"]}),
    "a group": message(job(image_id="s17"), headers={"group": {"x": 1}, "group_index": "x"}),
    "callbacks": message(
        content=[[], job(image_id="s18"), {"callbacks": [{"task": "celery.backend_cleanup", "args": []}], "chord": 7}]
    ),
    "options that are a list": message(content=[[], job(image_id="s19"), []]),
    "arguments that are null": message(content=[None, job(image_id="s20"), {}]),
    "an argument called self": message(job(image_id="s21", self=1, task=2)),
    "an unknown argument": message(job(image_id="s22", title={"$gt": ""})),
    "a negative retry count": message(job(image_id="s23"), headers={"retries": -5}),
    "a word as count of lost workers": message(job(image_id="s24"), headers={"clipqueue_lost": "many"}),
    "an operator as a string": message(job(image_id="$where")),
    "a path as id": message(job(image_id="../../etc/passwd")),
    "a dotted id": message(job(image_id="embedding_job.status")),
}
