"""The faults of the drill: how each is made, and which alerts name its place."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import psutil

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.chaos.processes import ManagedProcess
    from tests.monitoring.fleet import Fleet


@dataclass(frozen=True)
class Truth:
    """What the drill did.

    Attributes:
        what: In words.
        alerts: The alerts of which one must fire: each names the place.
        instance: The worker that it must name, if the alert is about one.
    """

    what: str
    alerts: frozenset[str]
    instance: str | None = None

    def is_named_by(self, alert: dict[str, str]) -> bool:
        """Return whether an alert, given by its labels, names the place of the fault."""
        if alert["alertname"] not in self.alerts:
            return False
        return self.instance is None or alert.get("instance") in (None, self.instance)


def _slow_host(fleet: Fleet, random: random.Random) -> Truth:
    delay_s = random.choice((4.0, 7.0, 20.0))  # the read timeout is 5 s
    fleet.slow_down(delay_s)
    alerts = frozenset({"ClipqueueImageHostsFail", "ClipqueueDownloadsSlow"})
    return Truth(f"one of two image hosts answers after {delay_s:g} s", alerts)


def _mongo(fleet: Fleet, random: random.Random) -> Truth:
    alerts = frozenset({"ClipqueueStoreAway"})
    if random.random() < 0.5:
        fleet.refuses.set()
        return Truth("MongoDB answers every command with NotWritablePrimary", alerts)
    fleet.mongo.kill()
    return Truth("MongoDB was killed", alerts)


def _hanging_worker(fleet: Fleet, random: random.Random) -> Truth:
    worker = random.choice(fleet.workers)
    alerts = frozenset({"ClipqueueWorkerStuck", "ClipqueueTargetDown"})
    if random.random() < 0.5:
        worker.send(signal.SIGSTOP)
        return Truth(f"{worker.name} is frozen", alerts, fleet.target_of(worker))
    fleet.blocker_of(worker).touch()
    return Truth(f"the model of {worker.name} never answers", alerts, fleet.target_of(worker))


def _hanging_worker_that_restarts(fleet: Fleet, random: random.Random) -> Truth:
    worker = random.choice(fleet.workers)
    blocker = fleet.blocker_of(worker)
    blocker.touch()
    _in_background(lambda: _restart_when_ended(worker, blocker.unlink))
    alerts = frozenset({"ClipqueueWorkerStuck", "ClipqueueTargetDown", "ClipqueueWorkerDied"})
    return Truth(f"the model of {worker.name} hangs once; the platform restarts the worker", alerts)


def _redis(fleet: Fleet, random: random.Random) -> Truth:
    alerts = frozenset({"ClipqueueRedisUnreachable"})
    if random.random() < 0.5:
        fleet.redis.send(signal.SIGSTOP)
        return Truth("Redis is frozen", alerts)
    fleet.redis.kill()
    return Truth("Redis was killed", alerts)


def _no_worker(fleet: Fleet, random: random.Random) -> Truth:
    for worker in fleet.workers:
        worker.send(random.choice((signal.SIGTERM, signal.SIGKILL)))
    return Truth("all workers have ended", frozenset({"ClipqueueNoWorker"}))


def _decoders(fleet: Fleet, random: random.Random) -> Truth:
    worker = random.choice(fleet.workers)
    _in_background(lambda: _kill_decoders(worker, 150.0))
    alerts = frozenset({"ClipqueueDecodersLost", "ClipqueueDecodersMissing"})
    return Truth(f"decoding processes of {worker.name} are killed", alerts, fleet.target_of(worker))


Fault: TypeAlias = "Callable[[Fleet, random.Random], Truth]"
FAULTS: dict[str, Fault] = {
    "slow-host": _slow_host,
    "mongo": _mongo,
    "hanging-worker": _hanging_worker,
    "hanging-worker-restarts": _hanging_worker_that_restarts,
    "redis": _redis,
    "no-worker": _no_worker,
    "decoders": _decoders,
}


def _in_background(run: Callable[[], None]) -> None:
    threading.Thread(target=run, daemon=True).start()


def _restart_when_ended(worker: ManagedProcess, cure: Callable[[], None]) -> None:
    while worker.is_running:
        time.sleep(0.2)
    cure()
    worker.start(wait=False)


def _kill_decoders(worker: ManagedProcess, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while worker.is_running and time.monotonic() < deadline:
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(worker.pid).children():
                child.kill()
        time.sleep(2)
