"""The watchdog thread: it sends the heartbeat, and ends a process whose model hangs or is broken."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

from producer.contract.errors import BrokerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.encode.batcher import Batcher
    from worker.lifecycle.heartbeat import Heartbeat

logger = logging.getLogger(__name__)

_TICK_S = 1.0
# EX_SOFTWARE in sysexits.h. A supervisor restarts the process.
_EXIT_CODE = 70


class Watchdog:
    """Watches one worker process until `close`.

    Args:
        heartbeat: Called once in each tick.
        batcher: Whose forward passes are watched.
        hang_s: Seconds that one forward pass may take.
        on_exit: Called before the process exits.
    """

    def __init__(self, heartbeat: Heartbeat, batcher: Batcher, hang_s: float, on_exit: Callable[[], None]) -> None:
        self._heartbeat = heartbeat
        self._batcher = batcher
        self._hang_s = hang_s
        self._on_exit = on_exit
        self._wake = threading.Event()
        self._is_closing = False
        self._must_exit = False
        self._ticks: dict[int, int] = {}
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def requeue_and_exit(self) -> None:
        """Requeue all jobs and exit at once. Only sets a flag, so a signal handler may call it."""
        self._must_exit = True
        self._wake.set()

    def close(self) -> None:
        """Stop the thread, and remove the heartbeat from Redis."""
        self._is_closing = True
        self._wake.set()
        self._thread.join()
        self._heartbeat.close()

    def _run(self) -> None:
        while not self._is_closing:
            if self._must_exit:
                self._requeue_and_exit()
            try:
                self._check_model()
                self._heartbeat.beat()
            except BrokerUnavailable:
                pass  # Celery logs it and reconnects
            except Exception:  # other parts depend on this thread, so no error may end it
                logger.exception("unexpected error in the watchdog; it continues")
            self._wake.wait(_TICK_S)
            self._wake.clear()

    def _check_model(self) -> None:
        """Exit if the model is broken or hangs, so that the jobs are redelivered to another worker.

        Counts ticks, because the clock keeps running while the process is suspended (SIGSTOP, a frozen container).
        """
        if self._batcher.is_broken:
            self._exit(_EXIT_CODE)
        self._ticks = {call: self._ticks.get(call, -1) + 1 for call in tuple(self._batcher.running_calls)}
        longest_s = max(self._ticks.values(), default=0) * _TICK_S
        if longest_s > self._hang_s:
            logger.critical("a forward pass has run for %.0f s; exiting, so that its jobs are redelivered", longest_s)
            self._exit(_EXIT_CODE)

    def _requeue_and_exit(self) -> None:
        try:
            logger.warning("second stop signal: requeued %d unfinished jobs", self._heartbeat.requeue_all())
        except BrokerUnavailable as exc:
            logger.warning(
                "second stop signal: cannot requeue the unfinished jobs (%s); they are redelivered after the "
                "visibility timeout",
                exc,
            )
        finally:
            self._exit(0)

    def _exit(self, code: int) -> None:
        self._on_exit()
        logging.shutdown()
        os._exit(code)
