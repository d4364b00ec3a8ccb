"""Which messages a channel may pop, and what Redis records of those that it has popped."""

from __future__ import annotations

import json
import logging
import threading
import time
from queue import Empty
from typing import TYPE_CHECKING, Any

from kombu.transport import redis as kombu_redis
from kombu.transport.virtual.base import QoS as VirtualQoS
from redis.exceptions import RedisError, ResponseError

from producer.contract.names import IMAGE_QUEUE
from worker.broker.deliveries import reclaim_lost

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)


class QoS(kombu_redis.QoS):
    """kombu's QoS with a limit on unacked messages, batched acks, and a count of lost workers for each message."""

    def can_consume(self) -> bool:
        """Return whether one more message may be popped. kombu calls this before each pop."""
        return self.free_slots() > 0

    def free_slots(self) -> int:
        """Return how many messages may be popped now: 0 or less means none. Without a limit, return 1.

        Retries wait for their ETA unacked. Without a limit, an outage of one image host would fill the memory.
        `worker_eta_task_limit` is no alternative: each burst of retries above that limit lowers the prefetch count for
        good, because kombu applies the limit when it raises the count and not when it lowers it again.
        """
        # Channels of remote control and gossip never pause: the container's health check needs an answer, and the event
        # loop would spin as long as their messages are not read.
        if self.channel.consumption.is_paused() and not self.channel.active_fanout_queues:
            return 0
        unacked = len(self._delivered) - len(self._dirty)
        limits = [limit for limit in (self.prefetch_count, self.channel.max_unacked) if limit]
        return min(limits, default=unacked + 1) - unacked

    def record_unacked(self, popped: Sequence[tuple[bytes, dict[str, Any]]]) -> int:
        """Record messages as unacked and remove them from the processing list, in one transaction.

        Args:
            popped: Each item of the processing list, and the message that was made of it.

        Returns:
            The length of the queue.

        Raises:
            Empty: Redis refused the write. The items stay on the processing list and are requeued from there.
        """
        deliveries = self.channel.consumption.deliveries
        tags, now = [message["properties"]["delivery_tag"] for _, message in popped], time.time()
        with self.pipe_or_acquire() as pipe:
            for tag, (item, message) in zip(tags, popped, strict=True):
                origin = message["properties"]["delivery_info"]
                recorded = json.dumps([message, origin["exchange"], origin["routing_key"]])
                pipe.zadd(self.unacked_index_key, {tag: now}).hset(self.unacked_key, tag, recorded)
                pipe.lrem(self.channel.consumption.processing.key, -1, item)  # the oldest is last
            try:
                queue_length: int = pipe.llen(IMAGE_QUEUE).execute()[-1]
            except ResponseError as exc:
                self.channel.back_off(exc)
                raise Empty from exc
            except (RedisError, OSError):
                # The transaction may have run, but Celery never gets these messages. Requeue them, or they would wait
                # for the visibility timeout.
                for tag in tags:
                    deliveries.defer_requeue(tag)
                raise
        for tag in tags:
            deliveries.add(tag)
        return queue_length

    def append(self, message: Any, delivery_tag: str) -> None:
        """Track a message. Record it as unacked if kombu popped it itself, from another queue or by `basic_get`."""
        deliveries = self.channel.consumption.deliveries
        if delivery_tag in deliveries:
            VirtualQoS.append(self, message, delivery_tag)  # type: ignore[no-untyped-call]
        else:
            super().append(message, delivery_tag)  # type: ignore[no-untyped-call]
            deliveries.add(delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Ack a message with the next `Channel.flush`, together with others."""
        self.channel.consumption.deliveries.defer_ack(delivery_tag)
        VirtualQoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002  (kombu's signature)
        """Requeue or discard a message."""
        deliveries = self.channel.consumption.deliveries
        try:
            super().reject(delivery_tag, requeue)  # type: ignore[no-untyped-call]
            deliveries.discard(delivery_tag)
        except (RedisError, OSError) as exc:
            # kombu would leave it to the visibility timeout, and the message would count as lost with its worker.
            logger.warning("Redis unavailable; a message is requeued or discarded later: %s", exc)
            (deliveries.defer_requeue if requeue else deliveries.defer_ack)(delivery_tag)
            VirtualQoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Requeue the messages of lost workers. kombu calls this every CLIPQUEUE_RESTORE_INTERVAL_S."""
        self.channel.restoring_thread = threading.get_ident()
        try:
            super().restore_visible(*args, **kwargs)  # type: ignore[no-untyped-call]
            with self.channel.conn_or_acquire() as client:
                reclaim_lost(client, self.visibility_timeout)
        except ResponseError as exc:
            logger.error("cannot requeue the messages of lost workers: %s", exc)  # noqa: TRY400
        finally:
            self.channel.restoring_thread = None
