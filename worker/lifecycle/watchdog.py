"""Watches a worker process: writes its health file, sends its heartbeat, and ends it if a part of it hangs or is lost.

There are two threads, because a call to Redis may wait for seconds, and for a minute while no name server answers. The
health file must not wait with it: without Redis, no worker may look frozen. Each of the two watches the other.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from producer.contract.errors import BrokerUnavailable
from worker.lifecycle.ending import BROKEN, end_process
from worker.lifecycle.stillness import Part, Problem, Stillness
from worker.lifecycle.watched import END_S, RED_S

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from worker.lifecycle.condition import Condition
    from worker.lifecycle.heartbeat import Heartbeat
    from worker.lifecycle.pulse import Pulse
    from worker.telemetry.contact import Contact

logger = logging.getLogger(__name__)

_TICK_S = 1.0
# A name lookup for Redis may take a minute, and there may be a few.
_HEARTBEAT_END_S = 180.0
# Red and end: a thread that has ended never comes back.
_DEAD_S = (1.0, 5.0)


class Watchdog:
    """Watches one worker process until `close`.

    Args:
        heartbeat: Called once in each tick.
        parts: What is watched besides the two threads.
        pulse: The health file.
        condition: Learns what was found.
        redis: When Redis last answered any part of the process.
        describe_jobs: Returns what happens to the jobs if the process ends.
        on_exit: Called before the process exits.
    """

    def __init__(  # noqa: PLR0913  (what it tells, and whom)
        self,
        heartbeat: Heartbeat,
        parts: Sequence[Part],
        pulse: Pulse,
        condition: Condition,
        redis: Contact,
        *,
        describe_jobs: Callable[[], str],
        on_exit: Callable[[], None],
    ) -> None:
        self._heartbeat = heartbeat
        self._pulse = pulse
        self._condition = condition
        self._redis = redis
        self._describe_jobs = describe_jobs
        self._on_exit = on_exit
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._must_exit = False
        self._looks = self._beats = 0
        watchdog = threading.Thread(target=self._run_watchdog, name="watchdog", daemon=True)
        heartbeat_thread = threading.Thread(target=self._run_heartbeat, name="heartbeat", daemon=True)
        self._threads = [heartbeat_thread, watchdog]
        dead = Part("the heartbeat's thread has been dead", self._dead_heartbeat, *_DEAD_S)
        hangs = Part("the heartbeat hangs: it has told Redis nothing", self._due_beat, RED_S, _HEARTBEAT_END_S)
        self._parts = Stillness([*parts, dead, hangs], _TICK_S)
        looks = Part("the watchdog hangs: it has not looked", lambda: [self._looks], RED_S, END_S)
        self._watchdog = Stillness([looks], _TICK_S)

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
            self._looks += 1
            try:
                self._look()
            except Exception:  # other parts depend on this thread, so no error may end it
                logger.exception("unexpected error in the watchdog; it continues")
            self._closing.wait(_TICK_S)

    def _look(self) -> None:
        problem = self._parts.tick()
        if problem and problem.text and not self._condition.problem:
            logger.error("unhealthy: %s", problem.text)
        self._condition.note(problem.text if problem else "")
        try:
            self._pulse.beat(self._condition.problem)
        finally:
            if problem and problem.is_final:
                self._end(problem)

    def _run_heartbeat(self) -> None:
        while not self._closing.is_set():
            if self._must_exit:
                self._requeue_and_exit()
            try:
                self._heartbeat.beat(extend=not self._condition.problem)
            except BrokerUnavailable:
                pass  # Celery logs it and reconnects
            except Exception:  # as above
                logger.exception("unexpected error in the heartbeat; it continues")
            self._beats += 1
            if (problem := self._watchdog.tick()) and problem.is_final:
                self._end(problem)
            self._wake.wait(_TICK_S)
            self._wake.clear()

    def _dead_heartbeat(self) -> Iterable[Hashable]:
        return [] if self._threads[0].is_alive() or self._closing.is_set() else ["dead"]

    def _due_beat(self) -> Iterable[Hashable]:
        """While Redis answers the others, the heartbeat does not wait for it either."""
        return [self._beats] if self._redis.is_fresh else []

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
            end_process(0, "", self._on_exit)

    def _end(self, problem: Problem) -> None:
        advice = f"; {problem.advice}" if problem.advice else ""
        end_process(
            BROKEN, f"{problem.text}; exiting with code {BROKEN}: {self._describe_jobs()}{advice}", self._on_exit
        )
