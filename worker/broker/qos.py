"""How many messages a channel may take, and what becomes of those that it has taken. Sends nothing to Redis itself."""

from __future__ import annotations

from typing import Any

from kombu.transport import redis as kombu_redis
from kombu.transport.virtual.base import QoS as VirtualQoS


class QoS(kombu_redis.QoS):
    """kombu's QoS with a limit on unacked messages, and with acks and requeues that are sent together."""

    def can_consume(self) -> bool:
        """Return whether one more message may be taken. kombu calls this before each pop."""
        return self.free_slots() > 0

    def free_slots(self) -> int:
        """Return how many messages may be taken now: 0 or less means none. Without a limit, return 1."""
        # Channels of remote control and gossip never pause: the event loop would spin as long as their messages are not
        # read.
        if self.channel.consumption.is_paused() and not self.channel.active_fanout_queues:
            return 0
        return self.prefetch_count - len(self._delivered) + len(self._dirty) if self.prefetch_count else 1

    def append(self, message: Any, delivery_tag: str) -> None:
        """Track a message. Record it as unacked if kombu popped it itself, from another queue or by `basic_get`."""
        if delivery_tag in self._deliveries:
            VirtualQoS.append(self, message, delivery_tag)  # type: ignore[no-untyped-call]
        else:
            super().append(message, delivery_tag)  # type: ignore[no-untyped-call]
            self._deliveries.add(delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Ack a message with the next flush, together with others."""
        self._deliveries.defer_ack(delivery_tag)
        VirtualQoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002  (kombu's signature)
        """Requeue a message at the tail of the queue, or discard it, with the next flush."""
        if requeue:
            self._deliveries.defer_requeue([delivery_tag], at_tail=True)
        else:
            self._deliveries.defer_ack(delivery_tag)
        VirtualQoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]

    def restore_unacked(self, client: Any = None) -> None:  # noqa: ARG002  (kombu's signature)
        """Requeue what this channel holds, with the next flush. kombu calls this when the channel closes.

        Jobs that run go on: after a reconnect, they are acked through the next channel.
        """
        self._deliveries.defer_requeue(tag for tag in self._delivered if not self._deliveries.is_running(tag))
        self._delivered.clear()

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: `Transport` has a timer of its own for the messages of lost workers."""

    @property
    def _deliveries(self) -> Any:
        return self.channel.consumption.deliveries
