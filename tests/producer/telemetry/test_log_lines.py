"""The two forms of a line: whatever is logged, a JSON line is one object on one line, and no line shows a secret."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any, NoReturn

import pytest

from producer.telemetry.log_lines import MAX_LINE_BYTES, JsonFormatter, TextFormatter

DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


class Unshowable:
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no")


def refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


def record(message: str, *args: Any, level: int = logging.INFO, **facts: Any) -> logging.LogRecord:
    made = {"name": "worker.jobs", "msg": message, "args": args, "levelno": level}
    return logging.makeLogRecord({**made, "levelname": logging.getLevelName(level), **facts})


def as_json(one: logging.LogRecord) -> dict[str, Any]:
    """Return the fields of a line, as a strict parser reads it."""
    line = JsonFormatter().format(one)
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < MAX_LINE_BYTES
    fields: dict[str, Any] = json.loads(line, parse_constant=refuse)
    assert not any("\ud800" <= char <= "\udfff" for char in str(fields)), "not every parser accepts a lone surrogate"
    return fields


def raised(exc: BaseException) -> Any:
    try:
        raise exc  # noqa: TRY301
    except BaseException:  # noqa: BLE001
        return sys.exc_info()


def test_a_line_has_the_time_the_level_the_message_and_the_fields() -> None:
    one = record("job=%s done", "a", job="a", batch=8, fetch_ms=12.5, is_new=True, code=None)
    one.created, one.msecs = 1_795_000_000.25, 250.0
    assert list(as_json(one).items()) == [
        ("ts", "2026-11-18T11:06:40.250Z"),
        ("level", "info"),
        ("message", "job=a done"),
        ("logger", "worker.jobs"),
        ("job", "a"),
        ("batch", 8),
        ("fetch_ms", 12.5),
        ("is_new", True),
        ("code", None),
    ]


@pytest.mark.parametrize(("level", "name"), [(10, "debug"), (20, "info"), (30, "warn"), (40, "error"), (50, "error")])
def test_the_levels_are_those_that_platforms_know(level: int, name: str) -> None:
    assert as_json(record("a", level=level))["level"] == name


def test_a_traceback_is_a_field() -> None:
    fields = as_json(record("a", exc_info=raised(ValueError("line one\nline two"))))
    assert fields["message"] == "a"
    assert fields["exception"].startswith("Traceback (most recent call last):\n")
    assert fields["exception"].endswith("ValueError: line one\nline two")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("two\nlines\r\u2028\x00\x1b[2J", "two\nlines\r\u2028\x00\x1b[2J"),
        ("\ud800 lone", "\N{REPLACEMENT CHARACTER} lone"),
        ("caf\u00e9 \U0001f431", "caf\u00e9 \U0001f431"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (10**30, str(10**30)),
        (b"bytes", "b'bytes'"),
        ({"a": 1}, "{'a': 1}"),
        (Unshowable(), "<Unshowable that cannot be shown: RuntimeError>"),
        (10**5000, "<int that cannot be shown: ValueError>"),
        (DEEP, "<list that cannot be shown: RecursionError>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_value_of_a_field_is_valid_json(value: object, expected: str) -> None:
    assert as_json(record("a", field=value))["field"] == expected


@pytest.mark.parametrize(
    "facts",
    [
        {"msg": "x" * 100_000 + "the end"},
        {"msg": "\U0001f431" * 50_000 + "the end"},
        {"msg": "\x00" * 3_000_000},
        {"exc_info": raised(ValueError("y" * 100_000 + "the end"))},
        {f"field{number}": "z" * 300 for number in range(300)},
        {f"field{number}": number for number in range(3000)},
    ],
    ids=["long", "wide", "huge", "error", "many texts", "many"],
)
def test_a_line_is_never_longer_than_what_docker_keeps_in_one_piece(facts: dict[str, Any]) -> None:
    fields = as_json(record("a", **facts))
    assert {"ts", "level", "message", "logger"} <= fields.keys()
    long = fields.get("exception") or fields["message"]
    if "the end" in str(facts.get("msg")) + str(facts.get("exc_info")):
        assert "characters left out)..." in long
        assert long.endswith("the end")


def test_a_field_cannot_take_the_place_of_the_lines_own() -> None:
    fields = as_json(record("a", logger="other", ts=0, _private="p"))
    assert (fields["logger"], fields["level"]) == ("worker.jobs", "info")
    assert "_private" not in fields


SECRETS = {
    "query": ("http://host/a.jpg?sig=hunter2", "http://host/a.jpg"),
    "fragment": ("HTTPS://host/a.jpg#hunter2", "HTTPS://host/a.jpg"),
    "query without a host": ("with url: /a.jpg?sig=hunter2 (Caused", "with url: /a.jpg (Caused"),
    "question": ("why? because a=b", "why? because a=b"),
    "password": ("redis://user:hunter2@host:6379/0", "redis://***@host:6379/0"),
    "odd password": ("mongodb://u:hunter2:@@host/db", "mongodb://***@host/db"),
    "both": ("see http://u:hunter2@host/a?b=hunter2 twice", "see http://***@host/a twice"),
    "another scheme": ("rediss://host?password=hunter2#hunter2", "rediss://host"),
    "urllib3": (
        "retries exceeded with url: /a.jpg?sig=hunter2 (Caused by",
        "retries exceeded with url: /a.jpg (Caused by",
    ),
    "no secret": ("http://host/cat@2x.jpg", "http://host/cat@2x.jpg"),
}


@pytest.mark.parametrize("name", SECRETS)
def test_no_line_shows_the_secrets_of_a_url(name: str) -> None:
    text, shown = SECRETS[name]
    one = record("url=%s", text, url=text, nested={"url": [text]}, exc_info=raised(ValueError(text)))
    fields = as_json(one)
    assert (fields["message"], fields["url"]) == (f"url={shown}", shown)
    assert "hunter2" not in str(fields)
    printed = TextFormatter().format(one)
    assert f" INFO worker.jobs url={shown}\n" in printed
    assert "hunter2" not in printed


def test_a_text_line_looks_like_no_other_and_controls_no_terminal() -> None:
    text = TextFormatter().format(record("one\n2026-01-01 00:00:00,000 ERROR forged\x1b[2J\x9b2J caf\u00e9\n"))
    first, second = text.split("\n")
    assert first.endswith(" INFO worker.jobs one")
    assert second == r"    2026-01-01 00:00:00,000 ERROR forged\x1b[2J\x9b2J " + "caf\u00e9"
    assert TextFormatter().format(record("a\u2028b\u2029c\u202ed")).endswith(r" a\u2028b\u2029c\u202ed")
    error = ValueError("line one\n2026-01-01 00:00:00,000 ERROR forged")
    _, *traceback = TextFormatter().format(record("a", exc_info=raised(error))).split("\n")
    assert traceback[0] == "Traceback (most recent call last):"
    assert all(line.startswith("    ") for line in traceback[1:])


def test_a_long_url_takes_no_long_time() -> None:
    """Each pattern reads a text once: with the square of its length, this would take hours."""
    for text in (
        "http://" * 100_000,
        "://@" * 200_000,
        "a" * 999_990 + "://",
        "http://h/?" * 90_000,
        " with url: /" * 80_000,
    ):
        as_json(record("%s", text))
