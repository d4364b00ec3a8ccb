"""Reads the queue: its figures at each turn, and the delayed jobs, whose messages are large, less often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.operations.delayed import Delays, read_delays
from producer.operations.stats.reading import QueueReader
from producer.top.tracking import Snapshot, Tracker

if TYPE_CHECKING:
    from producer.client.broker import Broker
    from producer.operations.stats.reading import Reading

# A hundred messages, of 1 KB each.
_DELAYS_EVERY_S = 15.0
_WITHIN_S = 5.0
# Each heartbeat has about 1 KB, and is read at each turn. Of thousands, that would be a load for Redis.
_WORKERS_A_SECOND = 200
# No figure of a worker changes more often.
_SLOWEST_S = 10.0


class QueueWatch:
    """Reads snapshots, from one thread.

    Args:
        broker: The Redis of the queue.
        every_s: Seconds between two readings, unless there are many workers.
    """

    def __init__(self, broker: Broker, every_s: float) -> None:
        self.every_s = every_s
        self._wanted_s = every_s
        self._broker = broker
        self._reader = QueueReader(broker, _WITHIN_S)
        self._tracker = Tracker()
        self._delays: Delays | None = None

    def read(self) -> Snapshot:
        """Return the next snapshot.

        Raises:
            BrokerUnavailable: Redis did not answer, or refused a command.
        """
        reading = self._reader.read()
        self._read_delays(reading)
        slower_s = min(len(reading.workers) / _WORKERS_A_SECOND, _SLOWEST_S)
        self.every_s = max(self._wanted_s, slower_s)
        return self._tracker.add(reading, self._delays)

    def _read_delays(self, reading: Reading) -> None:
        if not reading.delayed:
            self._delays = None
        elif self._delays is None or not 0 <= reading.at_s - self._delays.now_s < _DELAYS_EVERY_S:
            with self._broker.commands("did not return the delayed jobs", within_s=_WITHIN_S) as redis:
                self._delays = read_delays(redis, reading.at_s)
