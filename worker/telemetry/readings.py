"""What the worker's parts are asked only when somebody wants to know it: at a scrape, and for a heartbeat."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.telemetry.usage import ChildrenCpu, rss_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class Readings:
    """How the worker is now. Each may be called in any thread.

    Attributes:
        in_flight: How many jobs run.
        redelivered: How many messages of lost workers this process has requeued since its start.
        decode_pids: The process ids of the decoding processes that run.
        decode_lost: How many of them have ended while they decoded, or had to be ended.
        is_store_away: Whether MongoDB is unavailable.
    """

    in_flight: Callable[[], int]
    redelivered: Callable[[], int]
    decode_pids: Callable[[], Sequence[int]]
    decode_lost: Callable[[], int]
    is_store_away: Callable[[], bool]
    _decode_cpu: ChildrenCpu = field(default_factory=ChildrenCpu, init=False)

    def cpu_s(self) -> dict[str, float]:
        """Return the seconds of processors by part: `worker` is this process, `decode` its decoding processes."""
        return {"worker": time.process_time(), "decode": self._decode_cpu.seconds(self.decode_pids())}

    def rss_bytes(self) -> int:
        """Return the resident memory of all its processes in bytes."""
        return rss_bytes(self.decode_pids())
