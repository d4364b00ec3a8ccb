"""Equal questions at once: each request keeps its own time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from producer.api.failures import ApiError
from producer.api.model_names import ModelNames
from producer.api.vectors import Vectors
from producer.contract.queries import Answer, Query

if TYPE_CHECKING:
    from producer.client.queries import QueryModel

QUERY = ("input", Query.text("a cat", "m"))


class Slow:
    """Workers that answer when the test says so."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.answers = asyncio.Event()

    def models(self) -> list[QueryModel]:
        return []

    async def ask_async(self, query: Query, timeout_s: float) -> Answer:
        self.asked.append(timeout_s)
        await self.answers.wait()
        return Answer("m", 1, 1, b"\0\0\0\0")


def test_a_short_wait_does_not_become_as_long_as_one_that_began_before() -> None:
    async def ask() -> None:
        slow = Slow()
        vectors = Vectors(slow, ModelNames())
        long = asyncio.ensure_future(vectors.ask_all([QUERY], 60.0))
        await asyncio.sleep(0)
        async with asyncio.timeout(20):
            with pytest.raises(ApiError) as caught:
                await vectors.ask_all([QUERY], 0.01)
        assert (caught.value.status, slow.asked) == (504, [60.0])
        slow.answers.set()
        assert len(await long) == 1

    asyncio.run(ask())


def test_a_long_wait_is_not_cut_by_a_short_one() -> None:
    async def ask() -> None:
        slow = Slow()
        vectors = Vectors(slow, ModelNames())
        short = asyncio.ensure_future(vectors.ask_all([QUERY], 5.0))
        long = asyncio.ensure_future(vectors.ask_all([QUERY], 60.0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        slow.answers.set()
        await asyncio.gather(short, long)
        assert slow.asked == [5.0, 60.0]

    asyncio.run(ask())
