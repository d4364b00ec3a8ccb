"""What a server asks by Retry-After, in each form that RFC 9110 allows, and in forms that servers send all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.servers import SocketServer
from worker.errors import HttpUnavailable
from worker.fetch.retry_after import retry_after_s

if TYPE_CHECKING:
    import socket

    from worker.fetch.fetcher import HttpFetcher

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
IN_A_MINUTE = "Sun, 06 Nov 1994 08:50:37 GMT"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", 7.0),
        ("  7\t", 7.0),
        ("007", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("1" * 400, float("inf")),
        ("1" * 60_000, float("inf")),
        (IN_A_MINUTE, 60.0),
        (f" {IN_A_MINUTE} ", 60.0),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60.0),
        ("Sun Nov  6 08:50:37 1994", 60.0),
        ("Sun, 06 Nov 1994 08:50:37 -0000", 60.0),
        ("Sun, 06 Nov 1994 09:50:37 +0100", 60.0),
        (DATE, 0.0),
        ("Fri, 04 Nov 1994 08:49:37 GMT", 0.0),
        ("", None),
        ("-7", None),
        ("+7", None),
        ("1.", None),
        ("1e3", None),
        ("0x10", None),
        ("inf", None),
        ("7 s", None),
        ("7, 9", None),
        ("7\x00", None),
        ("\u0667", None),
        ("\uff17", None),
        ("\xb2", None),
        ("soon", None),
        ("\xff\xfe", None),
        ("Sun, 31 Feb 1994 08:49:37 GMT", None),
        ("Wed, 21 Oct 99999999999 07:28:00 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 +9999999999", None),
    ],
    ids=lambda value: str(value)[:40].encode("unicode_escape").decode() or "empty",
)
def test_what_a_server_asks_is_read(value: str, expected: float | None) -> None:
    assert retry_after_s({"Retry-After": value, "Date": DATE}) == expected


def test_without_the_header_nothing_is_asked() -> None:
    assert retry_after_s({"Date": DATE}) is None


@pytest.mark.parametrize("date", [{}, {"Date": "yesterday"}])
def test_a_date_counts_from_this_clock_if_the_response_has_none(
    date: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 784_111_777.0)  # DATE
    assert retry_after_s({"Retry-After": IN_A_MINUTE, **date}) == 60.0


def test_a_date_counts_from_that_of_the_response_although_this_clock_is_ahead(fetcher: HttpFetcher) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        head = f"HTTP/1.1 429 Slow down\r\nDate: {DATE}\r\nretry-after: {IN_A_MINUTE}\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(head.encode())

    with SocketServer(serve) as server, pytest.raises(HttpUnavailable) as caught:
        fetcher.fetch(server.url)
    assert caught.value.retry_after_s == 60.0
