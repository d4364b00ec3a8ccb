"""Whether the servers that the API needs answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from producer.contract.errors import ClipqueueError

if TYPE_CHECKING:
    from producer.api.images import Images
    from producer.api.vectors import Vectors

_FRESH_S = 1.0


@dataclass(frozen=True)
class Health:
    """What answers, and how many live workers answer queries."""

    redis: bool = False
    mongo: bool = False
    workers: int = 0


class Checks:
    """Checks at most once a second, however many ask."""

    def __init__(self, vectors: Vectors, images: Images) -> None:
        self._vectors = vectors
        self._images = images
        self._lock = asyncio.Lock()
        self._at = float("-inf")
        self._health = Health()

    async def read(self) -> Health:
        """Return what answers, as of the last second."""
        async with self._lock:
            if time.monotonic() - self._at >= _FRESH_S:
                self._health = await self._check()
                self._at = time.monotonic()
            return self._health

    async def _check(self) -> Health:
        try:
            workers, redis = sum(one.workers for one in await self._vectors.models()), True
        except ClipqueueError:
            workers, redis = 0, False
        try:
            await run_in_threadpool(self._images.ping)
        except ClipqueueError:
            return Health(redis, mongo=False, workers=workers)
        return Health(redis, mongo=True, workers=workers)
