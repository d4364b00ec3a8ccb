"""Waits for images to be finished. All requests that wait share one query to MongoDB every half second."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from producer.contract.errors import StoreUnavailable

if TYPE_CHECKING:
    from producer.api.images import Images
    from producer.contract.records import BsonId

_POLL_S = 0.5
_MAX_IMAGES = 1000


class Waiting:
    """The requests that wait for images."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._waits: dict[BsonId, set[asyncio.Future[None]]] = {}
        self._polling: asyncio.Task[None] | None = None

    async def wait(self, image_id: BsonId, seconds: float) -> None:
        """Return as soon as the image's job has ended, after this many seconds, or at once if too many wait.

        Raises:
            StoreUnavailable: MongoDB does not answer.
        """
        if image_id not in self._waits and len(self._waits) >= _MAX_IMAGES:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waits.setdefault(image_id, set()).add(future)
        if self._polling is None or self._polling.done():
            self._polling = asyncio.ensure_future(self._poll())
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(future, seconds)
        finally:
            self._forget(image_id, future)

    def close(self) -> None:
        """Stop to ask MongoDB."""
        if self._polling is not None:
            self._polling.cancel()

    def _forget(self, image_id: BsonId, future: asyncio.Future[None]) -> None:
        waits = self._waits.get(image_id, set())
        waits.discard(future)
        if not waits:
            self._waits.pop(image_id, None)

    async def _poll(self) -> None:
        while self._waits:
            await asyncio.sleep(_POLL_S)
            try:
                found = await run_in_threadpool(self._images.finished, list(self._waits))
            except StoreUnavailable as exc:
                for future in [future for waits in self._waits.values() for future in waits if not future.done()]:
                    future.set_exception(exc)
                continue
            for future in [future for image_id in found for future in self._waits.get(image_id, set())]:
                if not future.done():
                    future.set_result(None)
