"""The address guard is tried out at start, and a library that bypasses it stops the worker."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.support.changed_library_app import BYPASSES
from tests.support.servers import Proxy
from worker.errors import BlockedAddress, UnusableLibrary
from worker.fetch import guard
from worker.selftest.guard import check_guard
from worker.settings import Settings
from worker.wiring import build_fetcher, build_strict_fetcher

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.fetch.fetcher import HttpFetcher


def settings(**values: str) -> Settings:
    return Settings(fetch_allow_networks="127.0.0.0/8", fetch_ports="1-65535", **values)  # type: ignore[arg-type]


@pytest.fixture
def strict() -> Iterator[HttpFetcher]:
    """A fetcher for the settings of the embedded stack, which allow loopback."""
    with closing(build_strict_fetcher(settings())) as strict:
        yield strict


def test_the_installed_libraries_pass_whatever_the_settings_allow(strict: HttpFetcher) -> None:
    check_guard(strict.fetch)


def test_a_proxy_is_not_asked() -> None:
    proxy = Proxy({}, plain=b"an image")
    try:
        with closing(build_strict_fetcher(settings(fetch_proxy=proxy.url))) as strict:
            check_guard(strict.fetch)
        assert proxy.seen == []
    finally:
        proxy.close()


@pytest.mark.parametrize("name", BYPASSES)
def test_a_library_that_bypasses_the_guard_is_found(
    name: str, strict: HttpFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*BYPASSES[name])
    with pytest.raises(
        UnusableLibrary, match=r"a download from 127\.0\.0\.1 is not refused .* install requests~="
    ) as raised:
        check_guard(strict.fetch)
    assert "\n" not in str(raised.value)
    assert "urllib3~=" in str(raised.value)


def test_a_guard_that_allows_every_address_is_found(strict: HttpFetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "is_allowed", lambda *_: True)
    with pytest.raises(UnusableLibrary, match="ended with fetch_timeout"):
        check_guard(strict.fetch)


def test_a_fetcher_that_answers_is_found() -> None:
    with pytest.raises(UnusableLibrary, match="ended with a response"):
        check_guard(lambda _: b"an image")


def test_a_refusal_after_a_connection_is_found() -> None:
    def connect_and_refuse(url: str) -> None:
        socket.create_connection(("127.0.0.1", urlsplit(url).port or 0)).close()
        raise BlockedAddress("too late")

    with pytest.raises(UnusableLibrary, match="ended with blocked_address"):
        check_guard(connect_and_refuse)


def test_the_strict_fetcher_differs_from_that_of_the_jobs_only_in_what_it_allows() -> None:
    with closing(build_fetcher(settings())) as jobs, closing(build_strict_fetcher(settings())) as strict:
        assert type(strict._adapter) is type(jobs._adapter)
        assert vars(strict._adapter).keys() == vars(jobs._adapter).keys()
        assert strict._adapter._guard.allow_networks == ()
        assert jobs._adapter._guard.allow_networks != ()
