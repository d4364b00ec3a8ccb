"""What an error of Redis says to the user: why, what to do, and no secret. tests/producer/cli tries real servers."""

from __future__ import annotations

from typing import Any

import pytest
from redis._parsers.base import BaseParser
from redis.exceptions import WatchError

from producer.contract.redis_reasons import reason_of

untyped: Any = BaseParser


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("ERR unknown command 'CONFIG', with args beginning with: 'http://host/?sig=hunter2'", "it lacks a command"),
        ("NOPERM User w has no permissions to run the 'info' command", "its access rules forbid this (User w has no"),
        ("ERR Command is not available: 'CLIENT LIST'", "it answered: Command is not available: 'CLIENT LIST'"),
        ("ERR odd hunter2 and\r\x1b[2J", "it answered: odd *** and"),
    ],
)
def test_an_answer_is_explained_without_secrets(answer: str, reason: str) -> None:
    text = reason_of(untyped.parse_error(answer), ["hunter2", "w", "e"])
    assert reason.replace("User w", "User ***") in text
    assert "hunter2" not in text
    assert text.isprintable()


def test_a_watched_transaction_says_why_its_connection_was_lost() -> None:
    error = WatchError("A ReadOnlyError occurred while watching one or more keys")
    error.__context__ = untyped.parse_error("READONLY You can't write against a read only replica.")
    assert reason_of(error).startswith("it is not the primary, or not ready: You can't write")
    assert "run this one again" in reason_of(WatchError("Watched variable changed."))
