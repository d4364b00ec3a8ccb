"""kombu's Redis transport, changed so that no message is lost and only valid messages reach Celery.

`install` registers it for `redis://` and `rediss://`. A message is popped into a list of the process (`deliveries`),
validated (`validation`) and recorded as unacked (`qos`) before Celery sees it. Invalid messages are parked, which
means moved to a dead-letter list (`PARKED_LIST`).
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from producer.contract.job import now_ms
from producer.contract.names import IMAGE_QUEUE, PARKED_LIST
from worker.broker.deliveries import ConsumerState
from worker.broker.qos import QoS
from worker.broker.validation import LOST_HEADER, InvalidMessage, validate_message

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)

_MAX_PARKED = 1000
_MAX_PARKED_BYTES = 16_384
_HEARTBEAT_INTERVAL_S = 5.0
# After Redis refused a write. It is most likely full; retrying at once would not help.
_BACK_OFF_S = 5.0
# Maximum number of messages popped at a time. It limits the memory: a valid message has up to 128 KiB, an invalid one
# any size.
_MAX_POPPED = 32


def install() -> None:
    """Make Celery use this transport for Redis URLs. The setting `broker_transport` would break Flower."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"


class Channel(kombu_redis.Channel):
    """Pops messages from the queue, validates them and parks invalid ones.

    Attributes:
        consumption: Transport option: what all channels of the process share.
        max_countdown_s: Transport option: maximum seconds that a message may ask to wait.
        max_unacked: Transport option: maximum number of unacked messages; 0 is no limit.
        protocol: Transport option: version of Redis' protocol, 2 or 3; None is redis-py's default.
        restoring_thread: The thread that is requeuing messages of lost workers. Other threads requeue those of this
            process.
    """

    QoS = QoS
    from_transport_options: Any = (
        *kombu_redis.Channel.from_transport_options,
        "consumption",
        "max_countdown_s",
        "max_unacked",
        "protocol",
    )
    max_countdown_s: float = 0.0
    max_unacked: int = 0
    protocol: int | None = None
    restoring_thread: int | None = None

    _brpop_sent_at: Any = None
    _commands: Any = None
    _consumes_jobs = False
    _queue_length = 0
    _heartbeat_at = float("-inf")
    _paused_until = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.consumption = ConsumerState()  # replaced by the transport option in a worker
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Send the next blocking pop. kombu reads the reply through `parse_response` of the client below."""
        # kombu's own BRPOP consumes Celery's reply queues, which `celery inspect` uses.
        self._consumes_jobs = IMAGE_QUEUE in self.active_queues
        if not self._consumes_jobs:
            super()._brpop_start(timeout)  # type: ignore[no-untyped-call]
            return
        if time.monotonic() < self._paused_until or not self._heartbeat():
            return
        connection = self.client.connection
        self._in_poll, self._brpop_sent_at = connection, time.monotonic()
        key = self.consumption.processing.key
        connection.send_command("BLMOVE", IMAGE_QUEUE, key, "RIGHT", "LEFT", timeout or self.brpop_timeout)

    def _heartbeat(self) -> bool:
        """Send a heartbeat if one is due; return False if Redis refuses it."""
        if time.monotonic() - self._heartbeat_at < _HEARTBEAT_INTERVAL_S:
            return True
        try:
            with self.conn_or_acquire() as client:
                self.consumption.processing.heartbeat_and_reclaim(client)
        except ResponseError as exc:
            self.back_off(exc)
            return False
        self._heartbeat_at = time.monotonic()
        return True

    def back_off(self, exc: ResponseError) -> None:
        """Pause consumption because Redis refused a write; the processing list is requeued before the next pop."""
        self._paused_until = time.monotonic() + _BACK_OFF_S
        self._heartbeat_at = float("-inf")
        logger.error("Redis refused a write; consumption paused for %g s: %s", _BACK_OFF_S, exc)

    def _queue_bind(self, *args: Any) -> None:
        """Bind a queue: the first write of a starting consumer. Wait if Redis refuses it."""
        try:
            super()._queue_bind(*args)  # type: ignore[no-untyped-call]
        except ResponseError as exc:
            self.back_off(exc)
            time.sleep(_BACK_OFF_S)  # Celery would retry five times a second
            raise

    def _brpop_read(self, **options: Any) -> Any:
        """Deliver the popped message, then pop and deliver more while messages are queued and slots are free."""
        delivered = super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        if self._consumes_jobs and not self._closing and IMAGE_QUEUE in self.active_queues:
            self._pop_more(min(self.qos.free_slots(), self._queue_length, _MAX_POPPED))
        return delivered

    def _pop_more(self, count: int) -> None:
        """Pop and record many messages at once. One by one, each takes three round trips and waits for the GIL."""
        if count <= 0 or not self._heartbeat():
            return
        with self.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
            for _ in range(count):
                pipe.lmove(IMAGE_QUEUE, self.consumption.processing.key, "RIGHT", "LEFT")
            try:
                items = [item for item in pipe.execute() if item is not None]
            except ResponseError as exc:
                self.back_off(exc)
                return
        messages = self.accept(items)
        try:
            while messages:
                self.connection._deliver(messages.pop(0), IMAGE_QUEUE)  # noqa: SLF001  (as kombu does)
        finally:  # an error, such as a thread that cannot start, leaves the rest undelivered
            for message in messages:
                self.consumption.deliveries.defer_requeue(message["properties"]["delivery_tag"])

    def accept(self, items: Sequence[bytes]) -> list[dict[str, Any]]:
        """Return the valid messages among popped items, recorded as unacked; park the invalid ones.

        Raises:
            Empty: Redis refuses to record them.
        """
        popped = []
        for item in items:
            try:
                popped.append((item, validate_message(item, self.max_countdown_s)))
            except InvalidMessage as exc:
                self._park(item, str(exc))
        if popped:
            self._queue_length = self.qos.record_unacked(popped)
        return [message for _, message in popped]

    def _park(self, item: bytes, reason: str) -> None:
        entry = {
            "parked_at": now_ms(),
            "reason": reason,
            "bytes": len(item),
            "item": base64.b64encode(item[:_MAX_PARKED_BYTES]).decode(),
        }
        try:
            with self.conn_or_acquire() as client, client.pipeline() as pipe:
                pipe.lpush(PARKED_LIST, json.dumps(entry)).ltrim(PARKED_LIST, 0, _MAX_PARKED - 1)
                pipe.lrem(self.consumption.processing.key, -1, item)
                pipe.execute()
            logger.error("parked an invalid message: %s; `clipqueue doctor` shows it", reason)
        except RedisError as exc:  # the next heartbeat requeues it
            logger.error("cannot park an invalid message: %s", exc)  # noqa: TRY400  (an expected error)

    def flush(self) -> None:
        """Send all deferred acks and requeues together. If Redis is unavailable, the watchdog sends them later."""
        if not self.consumption.deliveries.has_pending:
            return
        try:
            with self.conn_or_acquire() as client:
                self.consumption.deliveries.flush(client)
        except (RedisError, OSError) as exc:
            logger.warning("Redis unavailable; acks are sent later: %s", exc)

    def close(self) -> None:
        """Send the deferred acks, then close."""
        self.flush()
        super().close()  # type: ignore[no-untyped-call]

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
        channel = self

        class ValidatingRedis(super()._get_client()):  # type: ignore[misc]
            """Passes popped messages through `accept`."""

            def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
                if command_name != "BRPOP" or not channel._consumes_jobs:
                    return super().parse_response(connection, command_name, **options)
                try:
                    item = super().parse_response(connection, "BLMOVE", **options)
                except ResponseError as exc:
                    channel.back_off(exc)
                    return None
                accepted = [] if item is None else channel.accept([item])
                return [IMAGE_QUEUE.encode(), json.dumps(accepted[0]).encode()] if accepted else None

        return ValidatingRedis

    def _do_restore_message(self, payload: Any, *args: Any, **kwargs: Any) -> None:
        if self.restoring_thread == threading.get_ident():
            headers = payload["headers"]
            headers[LOST_HEADER] = headers.get(LOST_HEADER, 0) + 1
        super()._do_restore_message(payload, *args, **kwargs)  # type: ignore[no-untyped-call]


class Transport(kombu_redis.Transport):
    """kombu's Redis transport with this module's channel."""

    Channel = Channel

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Join Celery's event loop, and send the deferred acks once in each turn."""
        super().register_with_event_loop(connection, loop)  # type: ignore[no-untyped-call]
        loop.on_tick.add(self._flush)

    def _flush(self) -> None:
        for channel in self.channels[:1]:  # any channel can send them all
            channel.flush()
