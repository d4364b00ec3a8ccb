"""Queries and answers as JSON: what one side writes, the other reads, and what no side accepts."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from producer.contract.errors import EmbeddingFailed, InvalidJob
from producer.contract.ids import ObjectIdRef
from producer.contract.job import ImageJob
from producer.contract.queries import (
    MAX_IMAGE_BYTES,
    MAX_REQUEST_BYTES,
    MAX_TEXT_CHARS,
    Answer,
    BadRequest,
    ImageFacts,
    Query,
    Request,
    Save,
    answer_json,
    error_json,
    read_answer,
    read_request,
    request_json,
)
from producer.contract.urls import MAX_URL_CHARS

ID, REPLY = "0123456789abcdef", "clipqueue:answers:me"
SAVE = Save(ObjectIdRef("5f" * 12), 1_767_312_000_000)


@pytest.mark.parametrize(
    "query",
    [
        Query.text("a red bicycle"),
        Query.text("ein Fahrrad \N{BICYCLE}\x00\n", "model/a", truncate=False),
        Query.text("\N{BICYCLE}" * MAX_TEXT_CHARS),
        Query.image_url("https://example.com/a.jpg?sig=1", "model/a"),
        Query.image_url("https://h/" + "\N{BICYCLE}" * (MAX_URL_CHARS - 10), "\N{BICYCLE}" * 255),
    ],
    ids=["text", "odd text", "longest text", "URL", "longest URL"],
)
def test_a_worker_reads_what_a_client_writes(query: Query) -> None:
    assert read_request(ID, request_json(ID, REPLY, query)) == Request(ID, REPLY, query)


def test_an_upload_leaves_its_bytes_out() -> None:
    request = read_request(ID, request_json(ID, REPLY, Query.image_bytes(b"bytes", save=SAVE)))
    assert request.query == Query("image", save=SAVE)


def test_a_later_upload_of_an_image_wins_over_its_earlier_jobs() -> None:
    job = ImageJob.new("photo-1", "http://host/a.jpg")
    upload = Save.new("photo-1")
    assert job.enqueued_at_ms < upload.enqueued_at_ms < ImageJob.new("photo-1", "http://host/a.jpg").enqueued_at_ms


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("x" * (MAX_TEXT_CHARS + 1), "8192"),
        ("\ud800", "surrogate"),
        (None, "NoneType"),
        (b"x", "bytes"),
    ],
)
def test_an_unusable_text_is_refused(text: Any, problem: str) -> None:
    with pytest.raises(InvalidJob, match=problem):
        Query.text(text)


@pytest.mark.parametrize(
    ("content", "problem"), [(b"", "empty"), (b"x" * (MAX_IMAGE_BYTES + 1), "at most 8388608"), ("a", "str")]
)
def test_an_unusable_picture_is_refused(content: Any, problem: str) -> None:
    with pytest.raises(InvalidJob, match=problem):
        Query.image_bytes(content)


@pytest.mark.parametrize("model", ["", "x" * 256, "a\nb", 7])
def test_an_unusable_model_is_refused(model: Any) -> None:
    with pytest.raises(InvalidJob, match="model"):
        Query.text("a", model)


VALID: dict[str, Any] = {"v": 1, "id": ID, "reply": REPLY, "kind": "text", "text": "a"}


@pytest.mark.parametrize(
    "fields",
    [
        {"v": 2},
        {"id": "fedcba9876543210"},
        {"kind": "audio"},
        {"kind": None},
        {"kind": []},
        {"text": 7},
        {"text": None},
        {"text": "\ud800"},
        {"text": "x" * (MAX_TEXT_CHARS + 1)},
        {"truncate": "no"},
        {"model": {}},
        {"kind": "image", "url": "ftp://host/a.jpg"},
        {"kind": "image", "url": 7},
        {"kind": "image", "save": []},
        {"kind": "image", "save": {"image_id": 7.5}},
        {"kind": "image", "save": {"image_id": "a", "enqueued_at": "now"}},
        {"kind": "image", "save": {"image_id": "a"}, "url": "http://host/a.jpg"},
    ],
    ids=repr,
)
def test_a_wrong_request_with_a_usable_reply_names_it(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as raised:
        read_request(ID, json.dumps({**VALID, **fields}).encode())
    assert raised.value.reply == REPLY


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"[]",
        b"7",
        b"[" * 100_000,
        b'{"v": ' + b"1" * 5000 + b"}",
        b" " * (MAX_REQUEST_BYTES + 1),
        *(
            json.dumps({**VALID, "reply": reply}).encode()
            for reply in (None, 7, "", "images", "clipqueue:answers:", "clipqueue:answers:a b", REPLY + "x" * 300)
        ),
    ],
)
def test_a_request_without_a_usable_reply_has_nobody_to_answer_to(raw: bytes) -> None:
    """A foreign key, such as the queue, would be written to."""
    with pytest.raises(BadRequest) as raised:
        read_request(ID, raw)
    assert raised.value.reply is None


@pytest.mark.parametrize(
    "answer",
    [
        Answer("model/a", 2, 5, struct.pack("<2f", 0.6, -0.8)),
        Answer("model/a", 2, 77, struct.pack("<2f", 0.6, -0.8), truncated=True),
        Answer("m", 1, 0, struct.pack("<f", 1), image=ImageFacts("ab" * 32, 640, 480, "JPEG"), saved="superseded"),
    ],
)
def test_a_client_reads_what_a_worker_writes(answer: Answer) -> None:
    assert read_answer(answer_json(ID, answer)) == (ID, answer)


def test_the_floats_of_an_answer() -> None:
    assert Answer("m", 2, 1, struct.pack("<2f", 0.5, -0.25)).floats() == [0.5, -0.25]


def test_a_client_reads_an_error() -> None:
    query_id, error = read_answer(error_json(ID, "http_404", "fetch", "gone"))
    assert query_id == ID
    assert isinstance(error, EmbeddingFailed)
    assert (error.code, error.stage, error.message) == ("http_404", "fetch", "gone")


@pytest.mark.parametrize(
    "raw",
    [b"", b"7", b"{}", b'{"id": "a", "error": 7}', b'{"id":"a","model":"m","dim":2,"tokens":1,"vector":"AAAAPw=="}'],
)
def test_what_no_worker_writes_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"not an answer|Expecting"):
        read_answer(raw)
