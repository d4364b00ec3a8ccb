"""What a worker process tells Redis every few seconds: that it is alive, and what it still holds.

The heartbeat has a connection of its own, so that no other part of the process delays it.
"""

from __future__ import annotations

import json
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from producer.contract.errors import BrokerUnavailable
from producer.contract.job import now_ms
from producer.contract.names import HEARTBEAT_TTL_S, QUERY_WORKERS, WORKER_KEY
from worker.broker import scripts

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.client.broker import Broker
    from producer.contract.fields import WorkerHeartbeat, WorkerStats
    from worker.broker.deliveries import ConsumerState
    from worker.store.outage import Outage

_HEARTBEAT_INTERVAL_S = 10.0
# How often in a visibility timeout it is extended.
_EXTENSIONS = 4
_NO_ANSWER = "did not answer"


class Heartbeat:
    """Keeps Redis informed about one worker process. Not thread-safe: only the thread of the heartbeat calls it.

    Args:
        broker: Redis.
        consumption: What the process holds.
        outage: Whether MongoDB is unavailable.
        template: The heartbeat to write; `at`, `store_away`, `queries` and `stats` are replaced at each write.
        is_answering: Whether the process takes queries.
        stats: Returns what the process has done; None if that is not known.
    """

    def __init__(  # noqa: PLR0913  (what it tells)
        self,
        broker: Broker,
        consumption: ConsumerState,
        outage: Outage,
        template: WorkerHeartbeat,
        *,
        is_answering: Callable[[], bool] = lambda: False,
        stats: Callable[[], WorkerStats | None] = lambda: None,
    ) -> None:
        self._broker = broker
        self._consumption = consumption
        self._outage = outage
        self._template = template
        self._is_answering = is_answering
        self._stats = stats
        self._is_registered = False
        # Not the node name alone, which an operator may give to several workers.
        name = f"{template['node']}:{uuid.uuid4().hex[:8]}"
        self._key = WORKER_KEY + name
        fields = {key: template.get(key) for key in ("model", "dim", "context_length")}
        self._query_worker = json.dumps({"node": name, **fields}, sort_keys=True)
        self._extend_interval_s = template["visibility_timeout_s"] / _EXTENSIONS
        self._written_at = self._extended_at = float("-inf")

    def beat(self, *, extend: bool = True) -> None:
        """Send what is due: deferred acks, longer visibility timeouts, the heartbeat. Raises BrokerUnavailable.

        Args:
            extend: Whether this process can still do its jobs.
        """
        now = time.monotonic()
        with self._broker.commands(_NO_ANSWER) as redis:
            self._consumption.deliveries.flush(redis)
        # A job may wait for MongoDB, or for a job that runs alone. It is redelivered only if this process is lost.
        if extend and now - self._extended_at >= self._extend_interval_s:
            with self._broker.commands(_NO_ANSWER) as redis:
                self._consumption.deliveries.extend_visibility(redis)
            self._extended_at = now
        if now - self._written_at >= _HEARTBEAT_INTERVAL_S:
            self._write()
            self._written_at = now
        if self._is_registered and not self._is_answering():
            self._sign_off_queries()

    def requeue_all(self) -> int:
        """Requeue every unacked message and remove the heartbeat. Raises BrokerUnavailable.

        Returns:
            The number of requeued messages.
        """
        with self._broker.commands(_NO_ANSWER) as redis:
            count = scripts.requeue(redis, self._consumption.deliveries.tags)
        self._sign_off()
        return count

    def close(self) -> None:
        """Requeue what is unacked after a cold shutdown, remove the heartbeat from Redis, and close the connection."""
        with suppress(BrokerUnavailable):
            self.requeue_all()
        self._broker.close()

    def _write(self) -> None:
        answers = self._is_answering()
        heartbeat: WorkerHeartbeat = {
            **self._template,
            "at": now_ms(),
            "store_away": self._outage.is_active,
            "queries": answers,
        }
        if stats := self._stats():
            heartbeat["stats"] = stats
        with self._broker.commands(_NO_ANSWER) as redis:
            query_worker = self._query_worker if answers else ""
            scripts.write_heartbeat(redis, self._key, json.dumps(heartbeat), HEARTBEAT_TTL_S, query_worker)
        self._consumption.redis.note()
        self._is_registered |= answers

    def _sign_off(self) -> None:
        with self._broker.commands(_NO_ANSWER) as redis:
            self._consumption.deliveries.flush(redis)
            scripts.return_untaken(redis, self._consumption.processing_key)
            scripts.remove_heartbeat(redis, self._key)
        self._sign_off_queries()

    def _sign_off_queries(self) -> None:
        if self._is_registered:
            with self._broker.commands(_NO_ANSWER) as redis:
                redis.zrem(QUERY_WORKERS, self._query_worker)
            self._is_registered = False
