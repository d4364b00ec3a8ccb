"""Certificates of https servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.servers import SocketServer, tls_context
from tests.worker.fetch.conftest import NAMED_GUARD, OK, serve
from worker import errors

if TYPE_CHECKING:
    import trustme

    from tests.worker.fetch.conftest import MakeFetcher


def test_the_certificate_must_be_valid_for_the_name(make_fetcher: MakeFetcher, authority: trustme.CA) -> None:
    """The connection goes to the checked address. SNI and the certificate still use the name."""
    fetcher = make_fetcher(NAMED_GUARD)
    with SocketServer(serve(OK), tls_context(authority, "images.test")) as server:
        assert fetcher.fetch(f"https://images.test:{server.port}/") == b"image"
        with pytest.raises(errors.ConnectionFailed, match="certificate"):
            fetcher.fetch(f"https://other.test:{server.port}/")
