"""Which jobs are valid, why others are refused, and what a job looks like in a message and in a log."""

from __future__ import annotations

import json
import sys
import unicodedata
from types import SimpleNamespace
from typing import Any

import pytest
from flower.utils.search import SearchDocument

from producer.contract.errors import InvalidJob
from producer.contract.job import ImageJob, now_ms
from producer.contract.text import readable_json
from producer.contract.urls import redact_text, redact_url


@pytest.mark.parametrize(
    ("url", "message"),
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
        ("http://host/" + "x" * 8181, "8193 characters"),
    ],
)
def test_a_url_that_no_worker_could_fetch_is_refused(url: Any, message: str) -> None:
    with pytest.raises(InvalidJob, match=message):
        ImageJob.new("id", url)


@pytest.mark.parametrize("url", ["http://u:hunter2@h\u2100/", "http://host:hunter2/", "ftp://u:hunter2@host/"])
def test_the_error_does_not_repeat_the_url(url: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        ImageJob.new("id", url)
    assert "hunter2" not in str(caught.value)


def test_the_longest_url_is_accepted() -> None:
    assert ImageJob.new("id", "http://host/" + "x" * 8180).url.endswith("x")


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


def test_unknown_keys_are_ignored_and_optional_keys_have_defaults() -> None:
    before = now_ms()
    job = ImageJob.from_kwargs({"image_id": "a", "url": "http://host/", "color": "red", "force": False})
    assert job.force is False
    assert before <= job.enqueued_at_ms <= now_ms()


@pytest.mark.parametrize(
    "enqueued_at", [10**18, float(10**15), now_ms() + 3_600_000], ids=["microseconds", "float", "hour ahead"]
)
def test_a_time_far_in_the_future_is_replaced_by_the_current_time(enqueued_at: float) -> None:
    """A time in microseconds, or from a clock that is far ahead, would win over every later job."""
    job = ImageJob.from_kwargs({"image_id": "a", "url": "http://host/", "enqueued_at": enqueued_at})
    assert job.enqueued_at_ms <= now_ms()


@pytest.mark.parametrize("ahead_ms", [50, 5_000, 590_000])
def test_a_time_of_a_clock_that_is_a_little_ahead_is_kept(ahead_ms: int) -> None:
    """A worker whose clock is behind must not change the order of two jobs."""
    enqueued_at = now_ms() + ahead_ms
    job = ImageJob.from_kwargs({"image_id": "a", "url": "http://host/", "enqueued_at": enqueued_at})
    assert job.enqueued_at_ms == enqueued_at


def test_a_float_with_a_whole_value_is_accepted() -> None:
    job = ImageJob.from_kwargs({"image_id": "a", "url": "http://host/", "enqueued_at": 1.7e12})
    assert job.enqueued_at_ms == 1_700_000_000_000


def test_the_message_contains_force_only_if_it_is_true() -> None:
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
def test_a_redacted_url_has_only_scheme_host_and_path(url: str, shown: str) -> None:
    assert redact_url(url) == shown


def test_the_description_of_a_job_contains_no_query() -> None:
    assert "secret" not in ImageJob.new("a", "https://host/a.jpg?sig=secret").describe()


def test_a_description_shows_letters_and_escapes_what_is_invisible() -> None:
    """It is one line that looks like what it is: characters that change the direction of text would hide something."""
    chars = [chr(number) for number in range(0x20, sys.maxunicode + 1)]
    invisible = {char for char in chars if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Zs", "Zl", "Zp"}}
    described = readable_json("|".join(chars))
    assert json.loads(described) == "|".join(chars)
    escaped = set(chars) - set(described)
    # The list is of a later Unicode than some of the Pythons that run this test.
    assert escaped >= invisible - {" "}
    assert {unicodedata.category(char) for char in escaped - invisible} <= {"Cn"}


def test_flower_finds_a_job_by_its_arguments() -> None:
    """Its search reads the description as a Python literal."""
    described = ImageJob.new("ü-1", "https://host/a.jpg", force=True).describe()
    assert SearchDocument.from_task(SimpleNamespace(kwargs=described)).kwargs_pairs > {
        "image_id=ü-1",
        "url=https://host/a.jpg",
        "force=1",
    }


def test_every_url_in_a_text_is_redacted() -> None:
    text = "GET https://host/it's.jpg?a='b&sig=secret failed, 'HTTP://x/#secret' and \"http://y?secret\", too"
    assert redact_text(text) == "GET https://host/it's.jpg failed, 'HTTP://x/ and \"http://y too"
