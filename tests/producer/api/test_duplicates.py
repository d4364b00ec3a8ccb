"""Only one comparison of all images runs at a time, whoever leaves."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest

from producer.api.failures import ApiError
from producer.api.searching import Searching
from producer.search.query import Duplicates

if TYPE_CHECKING:
    from producer.api.vectors import Vectors
    from producer.search.search import ImageSearch


class Blocked:
    """A search whose comparison waits for MongoDB."""

    def __init__(self) -> None:
        self.began, self.goes_on = threading.Event(), threading.Event()

    def duplicates(self, *_: Any) -> Any:
        self.began.set()
        self.goes_on.wait(60)
        return iter(())


def test_a_client_that_leaves_does_not_let_a_second_comparison_begin_beside_the_first() -> None:
    async def ask() -> None:
        search = Blocked()
        searching = Searching(cast("ImageSearch", search), cast("Vectors", None))
        first = asyncio.ensure_future(searching.duplicates(Duplicates(), 10))
        await asyncio.to_thread(search.began.wait, 20)
        first.cancel()
        await asyncio.wait([first])
        try:
            with pytest.raises(ApiError) as caught:
                await searching.duplicates(Duplicates(), 10)
            assert caught.value.code == "busy"
        finally:
            search.goes_on.set()
        async with asyncio.timeout(20):
            while searching._is_comparing:  # noqa: ASYNC110  (it is no event)
                await asyncio.sleep(0.01)
        assert (await searching.duplicates(Duplicates(), 10)).is_complete

    asyncio.run(ask())
