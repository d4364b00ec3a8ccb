"""The job: what is accepted, what is refused and why, and how it looks on the wire."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId

from producer.contract.errors import InvalidJob
from producer.contract.job import ImageJob, ObjectIdRef, now_ms, parse_image_id
from producer.contract.urls import redact_text, redact_url

OID = "65f0c0ffee65f0c0ffee65f0"


@pytest.mark.parametrize(
    ("given", "wire"),
    [
        ("photo-1", "photo-1"),
        ("ü" * 1024, "ü" * 1024),
        (ObjectId(OID), {"$oid": OID}),
        ({"$oid": OID.upper()}, {"$oid": OID}),
        (ObjectIdRef(OID), {"$oid": OID}),
        (OID, OID),
    ],
)
def test_ids_keep_their_type_on_the_wire(given: object, wire: object) -> None:
    """A string of 24 hex digits stays a string: only the caller knows which of the two the document has."""
    job = ImageJob.new(given, "https://host/a.jpg")
    assert job.to_kwargs()["image_id"] == wire
    assert ImageJob.from_kwargs(job.to_kwargs()) == job


@pytest.mark.parametrize(
    "image_id",
    [
        "",
        "x" * 1025,
        "a\0b",
        "a\nb",
        "\x1b[31m",
        "\ud800",
        None,
        7,
        1.5,
        True,
        [],
        {},
        {"$gt": ""},
        {"$oid": "xyz"},
        {"$oid": 7},
    ],
)
def test_ids_that_no_document_should_have_are_refused(image_id: object) -> None:
    with pytest.raises(InvalidJob):
        parse_image_id(image_id)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("ftp://host/a.jpg", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("host/a.jpg", "no scheme"),
        ("", "no scheme"),
        (None, "string"),
        (b"http://host/", "string"),
        ("http://host:0/", "port is 0"),
        ("http://127.0.0.1:80\\@evil/", "percent-encode"),
        ("http://", "no host"),
        ("http:///a.jpg", "no host"),
        ("http://host:99999/", "cannot be read"),
        ("http://[::1", "cannot be read"),
        ("http://host/a b.jpg", "percent-encode"),
        ("http://host/a\n.jpg", "percent-encode"),
        ("http://host/\0", "null"),
        ("http://host/\ud800", "surrogate"),
        ("http://host/" + "x" * 2037, "2049 characters"),
    ],
)
def test_urls_that_no_worker_could_fetch_are_refused(url: Any, complaint: str) -> None:
    with pytest.raises(InvalidJob, match=complaint):
        ImageJob.new("id", url)


@pytest.mark.parametrize("url", ["http://u:hunter2@h\u2100/", "http://host:hunter2/", "ftp://u:hunter2@host/"])
def test_no_complaint_repeats_the_url(url: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        ImageJob.new("id", url)
    assert "hunter2" not in str(caught.value)


def test_the_longest_url_is_accepted() -> None:
    assert ImageJob.new("id", "http://host/" + "x" * 2036).url.endswith("x")


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"image_id": "a"},
        {"url": "http://host/"},
        {"image_id": "a", "url": None},
        {"image_id": "a", "url": ["http://host/"]},
        {"image_id": "a", "url": "http://host/", "force": 1},
        {"image_id": "a", "url": "http://host/", "enqueued_at": "now"},
        {"image_id": "a", "url": "http://host/", "enqueued_at": True},
        {"image_id": "a", "url": "http://host/", "enqueued_at": 1.5},
        {"image_id": "a", "url": "http://host/", "enqueued_at": float("nan")},
        {"image_id": "a", "url": "http://host/", "enqueued_at": -1},
    ],
)
def test_a_message_with_missing_or_wrong_keys_is_refused(kwargs: dict[str, Any]) -> None:
    with pytest.raises(InvalidJob):
        ImageJob.from_kwargs(kwargs)


def test_unknown_keys_are_ignored_and_optional_ones_have_defaults() -> None:
    before = now_ms()
    job = ImageJob.from_kwargs({"image_id": "a", "url": "http://host/", "color": "red", "force": False})
    assert job.force is False
    assert before <= job.enqueued_at_ms <= now_ms()


@pytest.mark.parametrize("enqueued_at", [10**18, float(10**15)])
def test_a_time_in_the_future_is_taken_as_now(enqueued_at: float) -> None:
    """Microseconds by mistake, or a clock ahead, must not win over every later job."""
    job = ImageJob.from_kwargs({"image_id": "a", "url": "http://host/", "enqueued_at": enqueued_at})
    assert job.enqueued_at_ms <= now_ms()


def test_javascript_numbers_are_whole_numbers() -> None:
    job = ImageJob.from_kwargs({"image_id": "a", "url": "http://host/", "enqueued_at": 1.7e12})
    assert job.enqueued_at_ms == 1_700_000_000_000


def test_force_is_on_the_wire_only_when_set() -> None:
    assert "force" not in ImageJob.new("a", "http://host/").to_kwargs()
    assert ImageJob.new("a", "http://host/", force=True).to_kwargs()["force"] is True


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host/a.jpg?sig=secret#part", "https://host/a.jpg"),
        ("https://user:pw@host:8080/a.jpg?x", "https://host:8080/a.jpg"),
        ("http://[::1", "<unreadable URL>"),
        ("photo-1", "photo-1"),
    ],
)
def test_redaction_leaves_scheme_host_and_path(url: str, shown: str) -> None:
    assert redact_url(url) == shown


def test_the_description_has_no_query() -> None:
    assert "secret" not in ImageJob.new("a", "https://host/a.jpg?sig=secret").describe()


def test_text_is_redacted_wherever_a_url_stands_in_it() -> None:
    text = "GET https://host/it's.jpg?a='b&sig=secret failed, 'HTTP://x/#secret' and \"http://y?secret\", too"
    assert redact_text(text) == "GET https://host/it's.jpg failed, 'HTTP://x/ and \"http://y too"
