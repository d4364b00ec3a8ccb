"""Watches a worker process: writes its health file, sends its heartbeat, and ends it if its model hangs or is broken.

There are two threads, because a call to Redis may wait for seconds, and for a minute while no name server answers. The
health file must not wait with it: without Redis, no worker may look frozen.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Protocol

from producer.contract.errors import BrokerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.lifecycle.heartbeat import Heartbeat
    from worker.lifecycle.loop import EventLoop
    from worker.lifecycle.pulse import Pulse

logger = logging.getLogger(__name__)

_TICK_S = 1.0
# Celery's event loop hangs if it does not turn while so many heartbeats in a row reach Redis. Without Redis, the loop
# may wait just as long.
_MAX_SILENT_BEATS = 60
# EX_SOFTWARE in sysexits.h. A supervisor restarts the process.
_EXIT_CODE = 70


class ModelCalls(Protocol):
    """A part that calls the model."""

    @property
    def is_broken(self) -> bool:
        """Whether this process can no longer run the model."""
        ...

    @property
    def running_calls(self) -> set[int]:
        """The serial numbers of the calls in progress."""
        ...


class Watchdog:
    """Watches one worker process until `close`.

    Args:
        heartbeat: Called once in each tick.
        callers: The parts whose forward passes are watched.
        pulse: The health file.
        loop: Celery's event loop.
        hang_s: Seconds that one forward pass may take.
        on_exit: Called before the process exits.
    """

    def __init__(  # noqa: PLR0913  (the parts that it watches)
        self,
        heartbeat: Heartbeat,
        callers: Sequence[ModelCalls],
        pulse: Pulse,
        loop: EventLoop,
        *,
        hang_s: float,
        on_exit: Callable[[], None],
    ) -> None:
        self._heartbeat = heartbeat
        self._callers = callers
        self._pulse = pulse
        self._loop = loop
        self._hang_s = hang_s
        self._on_exit = on_exit
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._must_exit = False
        self._ticks: dict[tuple[int, int], int] = {}
        self._silent_beats = self._loop_ticks = 0
        self._threads = [
            threading.Thread(target=self._run_watchdog, name="watchdog", daemon=True),
            threading.Thread(target=self._run_heartbeat, name="heartbeat", daemon=True),
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def requeue_and_exit(self) -> None:
        """Requeue all jobs and exit at once. Only sets a flag, so a signal handler may call it."""
        self._must_exit = True
        self._wake.set()

    def close(self) -> None:
        """Stop the threads, and remove the health file, and the heartbeat from Redis."""
        self._closing.set()
        self._wake.set()
        for thread in self._threads:
            thread.join()
        self._pulse.close()
        self._heartbeat.close()

    def _run_watchdog(self) -> None:
        while not self._closing.is_set():
            try:
                self._check_model()
                self._pulse.beat(self._find_problem())
            except Exception:  # other parts depend on this thread, so no error may end it
                logger.exception("unexpected error in the watchdog; it continues")
            self._closing.wait(_TICK_S)

    def _run_heartbeat(self) -> None:
        while not self._closing.is_set():
            if self._must_exit:
                self._requeue_and_exit()
            try:
                self._heartbeat.beat(extend=self._silent_beats < _MAX_SILENT_BEATS)
                self._count_beat()
            except BrokerUnavailable:
                self._silent_beats = 0  # Celery logs it and reconnects
            except Exception:  # as above
                logger.exception("unexpected error in the heartbeat; it continues")
            self._wake.wait(_TICK_S)
            self._wake.clear()

    def _count_beat(self) -> None:
        """Count the beats since the event loop has last turned. A frozen process counts nothing."""
        ticks = self._loop.ticks
        self._silent_beats = self._silent_beats + 1 if self._loop.is_running and ticks == self._loop_ticks else 0
        self._loop_ticks = ticks

    def _find_problem(self) -> str:
        if self._silent_beats < _MAX_SILENT_BEATS:
            return ""
        return f"Celery's event loop hangs: it has not turned for {self._silent_beats * _TICK_S:.0f} s"

    def _check_model(self) -> None:
        """Exit if the model is broken or hangs, so that the jobs are redelivered to another worker.

        Counts ticks, because the clock keeps running while the process is suspended (SIGSTOP, a frozen container).
        """
        if any(caller.is_broken for caller in self._callers):
            self._exit(_EXIT_CODE)
        calls = [(index, call) for index, caller in enumerate(self._callers) for call in tuple(caller.running_calls)]
        self._ticks = {call: self._ticks.get(call, -1) + 1 for call in calls}
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
