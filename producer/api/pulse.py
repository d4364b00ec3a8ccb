"""Whether the API works: whether its event loop turns, and whether Redis and MongoDB answer."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from producer.telemetry.movement import Movement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from concurrent.futures import Future

    from producer.api.checks import Checks, Health

_EVERY_S = 1.0
_STILL_S = 20.0
# Less than the telemetry server waits for a check.
_CHECK_S = 2.8


class Pulse:
    """Watches the event loop of the API. `live` and `ready` are called by other threads.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._movement = Movement("the event loop", clock=clock)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._checks: Checks | None = None
        # One that took too long is still waited for by the next call.
        self._reading: Future[Health] | None = None

    @asynccontextmanager
    async def beating(self, checks: Checks) -> AsyncIterator[None]:
        """Watch the running loop for a block."""
        self._loop, self._checks = asyncio.get_running_loop(), checks
        beat = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            self._loop = self._reading = None
            beat.cancel()
            with suppress(asyncio.CancelledError):
                await beat

    async def _beat(self) -> None:
        while True:
            self._movement.expect(_STILL_S)
            await asyncio.sleep(_EVERY_S)

    def live(self) -> str:
        """Return why the process has to be restarted; an empty text if its loop turns."""
        return self._movement.live()

    def ready(self) -> str:
        """Return what does not answer; an empty text if all do."""
        loop, checks = self._loop, self._checks
        if loop is None or checks is None:
            return "the API is starting or stopping"
        if problem := self.live():
            return problem
        if self._reading is None or self._reading.done():
            self._reading = asyncio.run_coroutine_threadsafe(checks.read(), loop)
        try:
            return _described(self._reading.result(_CHECK_S))
        except TimeoutError:
            return f"Redis or MongoDB has given no answer for {_CHECK_S:g} s"
        except CancelledError:
            return "the API is stopping"


def _described(health: Health) -> str:
    silent = [name for name, answers in (("Redis", health.redis), ("MongoDB", health.mongo)) if not answers]
    return f"no answer from {' and '.join(silent)}" if silent else ""
