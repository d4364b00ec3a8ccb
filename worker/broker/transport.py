"""kombu's Redis transport, changed so that no message is lost and only valid messages reach Celery.

`install` registers it for `redis://` and `rediss://`. `taking` takes messages and validates them before Celery sees
them. What happens to a message on Redis is in `scripts`.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from producer.contract.names import IMAGE_QUEUE
from producer.contract.redis_errors import is_failover
from producer.contract.redis_reasons import reason_of
from worker.broker import scripts
from worker.broker.deliveries import ConsumerState
from worker.broker.qos import QoS
from worker.broker.taking import take

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)

# After Redis refused a write because its disk is full or a permission is missing. Retrying at once would not help.
_BACK_OFF_S = 5.0
# How long Redis waits for a message before it answers that there is none. Each wait is a command, which may cost money.
# kombu takes the connection for broken if there is no answer for `brpop_timeout` + `health_check_interval`, 11 s.
_WAIT_S = 5
# A full Redis refuses to wait, so the queue is polled.
_POLL_S = 1.0
# How long the event loop waits while messages are taken one after the other, from a Redis that answers slowly.
_TURN_S = 1.0
# Maximum number of messages taken at a time. It limits the memory, since each has up to 256 KiB.
_MAX_TAKEN = 32


def install() -> None:
    """Make Celery use this transport for Redis URLs. The setting `broker_transport` would break Flower."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"


class Channel(kombu_redis.Channel):
    """Takes messages from the queue, validates them and parks invalid ones.

    Attributes:
        consumption: Transport option: what all channels of the process share.
        protocol: Transport option: version of Redis' protocol, 2 or 3; None is redis-py's default.
    """

    QoS = QoS
    from_transport_options: Any = (*kombu_redis.Channel.from_transport_options, "consumption", "protocol")
    protocol: int | None = None

    _brpop_sent_at: Any = None
    _commands: Any = None
    _consumes_jobs = False
    # Whether messages may wait on the queue: it was not empty at the last look.
    _may_be_waiting = True
    _paused_until = 0.0
    _is_known = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.consumption = ConsumerState()  # replaced by the transport option in a worker
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Take what waits on the queue; if it is empty, ask Redis to wait for the next message."""
        # kombu's own BRPOP consumes Celery's reply queues, which `celery inspect` uses.
        self._consumes_jobs = IMAGE_QUEUE in self.active_queues
        if not self._consumes_jobs:
            super()._brpop_start(timeout)  # type: ignore[no-untyped-call]
            return
        if time.monotonic() < self._paused_until:
            return
        self.consumption.asking.count += 1
        if not self._sign_on():
            return
        self._take_waiting()
        if self.qos.can_consume() and not self._may_be_waiting:
            self._wait_for_message()

    def _sign_on(self) -> bool:
        """Make this process known before Redis hands it a message; return whether it is known."""
        if not self._is_known:
            try:
                self.redeliver()
                self._is_known = True
            except ResponseError as exc:
                self.back_off(exc)
        return self._is_known

    def _on_connection_disconnect(self, connection: Any) -> None:
        """Note that Redis may have handed over a message and that its reply was lost."""
        if self._in_poll is connection:
            self._may_be_waiting = True
        super()._on_connection_disconnect(connection)  # type: ignore[no-untyped-call]

    def _wait_for_message(self) -> None:
        # Redis moves the message to a list of this process, so that it is not lost if the reply is: the next `take`
        # begins with that list.
        connection = self.client.connection
        self._in_poll, self._brpop_sent_at = connection, time.monotonic()
        key = self.consumption.processing_key
        connection.send_command("BLMOVE", IMAGE_QUEUE, key, "RIGHT", "LEFT", _WAIT_S)

    def _brpop_read(self, **options: Any) -> Any:
        """Read the answer to `_wait_for_message`, and take what came."""
        if not self._consumes_jobs:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        connection = self.client.connection
        try:
            self._may_be_waiting = self.client.parse_response(connection, "BLMOVE", **options) is not None
            self.consumption.redis.note()
        except self.connection_errors:
            connection.disconnect()
            raise
        except OutOfMemoryError:
            self._may_be_waiting = True
            self._paused_until = time.monotonic() + _POLL_S
        except ResponseError as exc:
            self.back_off(exc)
        finally:
            self._in_poll = False
        self._take_waiting()
        return True

    def _take_waiting(self) -> None:
        """Take and deliver messages while there are free slots, and messages that wait.

        If many messages are invalid, or Redis is slow, the event loop gets a turn in between.
        """
        until = time.monotonic() + _TURN_S
        while self._may_be_waiting and self._paused_until <= time.monotonic() < until and self._may_take():
            messages = self._take(min(self.qos.free_slots(), _MAX_TAKEN))
            if not messages:
                break
            self._deliver_all(messages)

    def _may_take(self) -> bool:
        return not self._closing and IMAGE_QUEUE in self.active_queues and self.qos.can_consume()

    def _take(self, count: int) -> list[dict[str, Any]]:
        """Take up to `count` messages; return the valid ones and park the others."""
        self.consumption.asking.count += 1
        try:
            with self.conn_or_acquire() as client:
                messages, self._may_be_waiting = take(client, self.consumption, count)
            self.consumption.redis.note()
        except ResponseError as exc:
            self.back_off(exc)
            return []
        return messages

    def _deliver_all(self, messages: Sequence[dict[str, Any]]) -> None:
        remaining = list(messages)
        try:
            while remaining:
                self.connection._deliver(remaining[0], IMAGE_QUEUE)  # noqa: SLF001  (as kombu does)
                del remaining[0]
        finally:  # an error, such as a thread that cannot start, leaves the rest undelivered
            self.consumption.deliveries.defer_requeue(message["properties"]["delivery_tag"] for message in remaining)

    def back_off(self, exc: ResponseError) -> None:
        """Pause consumption because Redis refused a write."""
        self._paused_until = time.monotonic() + _BACK_OFF_S
        logger.error("Redis refused a write; consumption paused for %g s: %s", _BACK_OFF_S, reason_of(exc))

    def flush(self) -> None:
        """Send all deferred acks, retries and requeues together.

        Raises:
            RedisError, OSError: Redis is unavailable. They stay deferred.
        """
        if self.consumption.deliveries.has_pending:
            with self.conn_or_acquire() as client:
                self.consumption.deliveries.flush(client)

    def requeue_due(self) -> None:
        """Move due messages to the queue if a retry of this process has become due. Raises as `flush` does."""
        if self.consumption.deliveries.due_times.take():
            with self.conn_or_acquire() as client:
                scripts.requeue_due(client)

    def redeliver(self) -> None:
        """Requeue the messages of lost workers, and show that this process is alive. Raises as `flush` does."""
        self.flush()  # first, so that no message that this process is about to ack or requeue counts as lost
        with self.conn_or_acquire() as client:
            if not self._may_take() and not self._in_poll:  # nothing was handed over that will be taken soon
                scripts.return_untaken(client, self.consumption.processing_key)
            if count := scripts.redeliver(client, self.consumption.process, self.visibility_timeout):
                self.consumption.deliveries.redelivered += count
                logger.warning("requeued %d messages whose worker has ended or has lost Redis", count)

    def basic_qos(self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False) -> None:  # noqa: FBT001, FBT002  (kombu's signature)
        """Note how many messages this process may hold."""
        super().basic_qos(prefetch_size, prefetch_count, apply_global)  # type: ignore[no-untyped-call]
        self.consumption.asking.slots = prefetch_count

    def close(self) -> None:
        """Requeue what the channel holds, and send the deferred acks."""
        if self._in_poll and self._consumes_jobs:
            # kombu would wait for the reply. A message that Redis hands over now is on the processing list.
            self.client.connection.disconnect()  # which clears `_in_poll`
        if not self.closed and self._qos:
            self._qos.restore_unacked_once()
        try:
            self.flush()
        except (RedisError, OSError) as exc:
            logger.warning("Redis unavailable; acks, retries and requeues are sent later: %s", exc)
        super().close()  # type: ignore[no-untyped-call]

    def _queue_bind(self, *args: Any) -> None:
        """Bind a queue: the only write of a starting consumer. It works without, if Redis refuses it."""
        try:
            super()._queue_bind(*args)  # type: ignore[no-untyped-call]
        except OutOfMemoryError as exc:
            logger.warning("Redis is full, so consumption starts without the binding of the queue: %s", exc)
        except ResponseError as exc:
            self.back_off(exc)
            time.sleep(_BACK_OFF_S)  # Celery would retry five times a second
            raise

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002  (kombu's signature)
        """Return a client. The one for commands is reused: creating it takes longer than most commands."""
        if asynchronous:
            return super()._create_client(asynchronous)  # type: ignore[no-untyped-call]
        if self._commands is None or self._commands.connection_pool is not self.pool:
            self._commands = super()._create_client()  # type: ignore[no-untyped-call]
        return self._commands

    def _connparams(self, *args: Any, **kwargs: Any) -> Any:
        # Late acks, and the requeues of a closing channel, still use a channel whose connection was lost. kombu reads
        # an attribute of None there, and the AttributeError would end the worker.
        if self.connection is None or self.connection.client is None:
            raise RedisConnectionError("the connection to Redis was lost")
        arguments = super()._connparams(*args, **kwargs)  # type: ignore[no-untyped-call]
        return {**arguments, "protocol": self.protocol} if self.protocol else arguments

    def _get_client(self) -> Any:
        class FailoverRedis(super()._get_client()):  # type: ignore[misc]
            """Leaves a server that is no longer the primary. It may keep the connection open for ever."""

            def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
                try:
                    return super().parse_response(connection, command_name, **options)
                except ResponseError as exc:
                    if not is_failover(exc):
                        raise
                    connection.disconnect()
                    raise RedisConnectionError(f"this Redis is not the primary any more: {exc}") from exc

        return FailoverRedis


class Transport(kombu_redis.Transport):
    """kombu's Redis transport with this module's channel."""

    Channel = Channel

    _loop: Any = None
    _redeliveries: Any = None

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Join Celery's event loop: send what is deferred once in each turn, and look for lost workers now and then.

        An error of either makes Celery reconnect.
        """
        super().register_with_event_loop(connection, loop)  # type: ignore[no-untyped-call]
        loop.on_tick.add(self._flush)
        interval_s = connection.client.transport_options["unacked_restore_interval"]
        self._redeliveries = loop.call_repeatedly(interval_s, self._redeliver)
        self._loop = loop

    def close_connection(self, connection: Any) -> None:
        """Leave the event loop, then close."""
        if self._loop:
            self._redeliveries.cancel()
            self._loop.on_tick.discard(self._flush)
        super().close_connection(connection)  # type: ignore[no-untyped-call]

    def _flush(self) -> None:
        for channel in self.channels[:1]:  # any channel can send them all
            channel.flush()
        for channel in self._consumers()[:1]:
            with suppress(ResponseError):  # the next redelivery tries again, and logs it
                channel.requeue_due()

    def _redeliver(self) -> None:
        for channel in self._consumers()[:1]:
            try:
                channel.redeliver()
            except ResponseError as exc:
                logger.error("cannot requeue the messages of lost workers; the next check tries again: %s", exc)  # noqa: TRY400

    def _consumers(self) -> list[Any]:
        return [channel for channel in self.channels if IMAGE_QUEUE in channel.active_queues]
