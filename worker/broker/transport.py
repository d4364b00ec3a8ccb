"""kombu's Redis transport, made to lose nothing: clean messages only, each on a list until it is noted as taken.

`install` puts it in the place of kombu's own for `redis://` and `rediss://`. It also bounds what a worker holds, takes
nothing while its worker says so, and counts how often a job's worker was lost.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from queue import Empty
from typing import TYPE_CHECKING, Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from kombu.transport.virtual.base import QoS as VirtualQoS
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import RedisError, ResponseError

from producer.contract.job import now_ms
from producer.contract.names import IMAGE_QUEUE, PARKED_LIST
from worker.broker.deliveries import Deliveries
from worker.broker.processing_list import ProcessingList, rescue
from worker.broker.validation import LOST_HEADER, InvalidMessage, validate_message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)

_MAX_PARKED = 1000
_MAX_PARKED_BYTES = 16_384
_SIGN_IN_S = 5.0
# What is not taken because Redis refuses: it is full, most likely, and asking again at once would not help.
_REFUSED_PAUSE_S = 5.0
# Messages are up to 128 KiB, and what is no message may be of any size.
_MOST_AT_ONCE = 32


def install() -> None:
    """Make Celery use this transport for Redis URLs. Not by `broker_transport`, which Flower cannot read."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"


class QoS(kombu_redis.QoS):
    """Bounds what waits unacked in memory, and marks what it takes from a worker that did not answer for it in time."""

    def can_consume(self) -> bool:
        """Return whether one more message may be taken (called before each time)."""
        return self.room() > 0

    def room(self) -> int:
        """Return how many more messages may be taken; below 1 for none, and 1 at a time where nothing bounds them.

        Retries wait for their time unacked: without a bound, an outage of one image host would fill the memory. Not by
        `worker_eta_task_limit`: each wave of retries beyond it costs the worker threads for good, since kombu clips
        what it adds to the prefetch count and not what it takes away.
        """
        held = len(self._delivered) - len(self._dirty)
        bounds = [bound for bound in (self.prefetch_count, self.channel.max_unacked) if bound]
        return min(bounds, default=held + 1) - held if self.channel.may_take() else 0

    def note(self, taken: Sequence[tuple[bytes, dict[str, Any]]]) -> int:
        """Note messages as taken, and strike them off the list of what is just being taken, at once.

        Args:
            taken: The items of that list, and what was made of them.

        Returns:
            How many more wait.

        Raises:
            Empty: Redis refuses; they stay on the list, and go back to the queue.
        """
        tags, now = [payload["properties"]["delivery_tag"] for _, payload in taken], time.time()
        with self.pipe_or_acquire() as pipe:
            for tag, (item, payload) in zip(tags, taken, strict=True):
                where = payload["properties"]["delivery_info"]
                noted = json.dumps([payload, where["exchange"], where["routing_key"]])
                pipe.zadd(self.unacked_index_key, {tag: now}).hset(self.unacked_key, tag, noted)
                pipe.lrem(self.channel.taker.key, -1, item)  # the oldest is last
            try:
                waiting: int = pipe.llen(IMAGE_QUEUE).execute()[-1]
            except ResponseError as exc:
                self.channel.note_refusal(exc)
                raise Empty from exc
            except (RedisError, OSError):
                # They may be noted all the same, and nobody would answer for them until the visibility timeout.
                for tag in tags:
                    self.channel.holdings.end_later(tag, give_back=True)
                raise
        for tag in tags:
            self.channel.holdings.take(tag)
        return waiting

    def append(self, message: Any, delivery_tag: str) -> None:
        """Remember a message; note it too if it came by kombu's own ways (another queue, `basic_get`)."""
        if delivery_tag in self.channel.holdings:
            VirtualQoS.append(self, message, delivery_tag)  # type: ignore[no-untyped-call]
        else:
            super().append(message, delivery_tag)  # type: ignore[no-untyped-call]
            self.channel.holdings.take(delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Forget a message whose job has ended; Redis is told of all such together, in `Channel.settle`."""
        self.channel.holdings.end_later(delivery_tag, give_back=False)
        VirtualQoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002  (kombu's signature)
        """Give a message back to the queue, or forget it."""
        try:
            super().reject(delivery_tag, requeue)  # type: ignore[no-untyped-call]
            self.channel.holdings.drop(delivery_tag)
        except (RedisError, OSError) as exc:
            # kombu would let it be delivered again after the visibility timeout, as if its worker had been lost.
            logger.warning("Redis is told later what became of a message: %s", exc)
            self.channel.holdings.end_later(delivery_tag, give_back=requeue)
            VirtualQoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Give the jobs of lost workers back to the queue (called every CLIPQUEUE_RESTORE_INTERVAL_S)."""
        self.channel.restoring_thread = threading.get_ident()
        try:
            super().restore_visible(*args, **kwargs)  # type: ignore[no-untyped-call]
            with self.channel.conn_or_acquire() as client:
                rescue(client, self.visibility_timeout)
        except ResponseError as exc:
            logger.error("jobs of lost workers cannot be given back: %s", exc)  # noqa: TRY400  (no defect of ours)
        finally:
            self.channel.restoring_thread = None


class Channel(kombu_redis.Channel):
    """Takes messages off the queue through `worker.broker.validation`, and parks what is none.

    Attributes:
        taker: This process's list of what is just being taken.
        may_take: Asked before messages are taken.
        holdings: What this process has taken and not acked, by this channel or one before.
        restoring_thread: The thread that now gives the jobs of lost workers back; others give back their own.
        max_countdown_s: A transport option: most seconds that a message may ask to wait.
        max_unacked: A transport option: most messages held at once; 0 for any number.
    """

    QoS = QoS
    from_transport_options: Any = (*kombu_redis.Channel.from_transport_options, "max_countdown_s", "max_unacked")
    max_countdown_s: float = 0.0
    max_unacked: int = 0
    restoring_thread: int | None = None
    taker = ProcessingList()
    may_take: Callable[[Channel], bool] = lambda _: True
    holdings = Deliveries()

    _brpop_sent_at: Any = None
    _commands: Any = None
    _takes_jobs = False
    _waiting = 0
    _signed_in_at = float("-inf")
    _refused_until = 0.0

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Ask for the next message; answers come to `parse_response`."""
        # Other queues are those of answers to `celery inspect`, of Celery's own making.
        self._takes_jobs = IMAGE_QUEUE in self.active_queues
        if not self._takes_jobs:
            super()._brpop_start(timeout)  # type: ignore[no-untyped-call]
            return
        if time.monotonic() < self._refused_until or not self._sign_in():
            return
        connection = self.client.connection
        self._in_poll, self._brpop_sent_at = connection, time.monotonic()
        connection.send_command("BLMOVE", IMAGE_QUEUE, self.taker.key, "RIGHT", "LEFT", timeout or self.brpop_timeout)

    def _sign_in(self) -> bool:
        if time.monotonic() - self._signed_in_at < _SIGN_IN_S:
            return True
        try:
            with self.conn_or_acquire() as client:
                self.taker.sign_in(client)
        except ResponseError as exc:
            self.note_refusal(exc)
            return False
        self._signed_in_at = time.monotonic()
        return True

    def note_refusal(self, exc: ResponseError) -> None:
        """Take nothing for a while; then first what was being taken goes back to the queue."""
        self._refused_until = time.monotonic() + _REFUSED_PAUSE_S
        self._signed_in_at = float("-inf")
        logger.error("no message can be taken: Redis says %s", exc)

    def _queue_bind(self, *args: Any) -> None:
        """Note a queue, which is the first that a starting consumer writes; wait where Redis refuses."""
        try:
            super()._queue_bind(*args)  # type: ignore[no-untyped-call]
        except ResponseError as exc:
            self.note_refusal(exc)
            time.sleep(_REFUSED_PAUSE_S)  # Celery would start anew at once, five times a second
            raise

    def _brpop_read(self, **options: Any) -> Any:
        """Deliver what was taken, and what else waits and has room."""
        took = super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        if self._takes_jobs and not self._closing and IMAGE_QUEUE in self.active_queues:
            self._take_more(min(self.qos.room(), self._waiting, _MOST_AT_ONCE))
        return took

    def _take_more(self, count: int) -> None:
        """Take and note many at once: for each alone it would be three round trips, with as many waits for the GIL."""
        if count <= 0 or not self._sign_in():
            return
        with self.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
            for _ in range(count):
                pipe.lmove(IMAGE_QUEUE, self.taker.key, "RIGHT", "LEFT")
            try:
                items = [item for item in pipe.execute() if item is not None]
            except ResponseError as exc:
                self.note_refusal(exc)
                return
        payloads = self.admit(items)
        try:
            while payloads:
                self.connection._deliver(payloads.pop(0), IMAGE_QUEUE)  # noqa: SLF001  (as kombu does)
        finally:  # what a thread that cannot be started, say, left undelivered
            for payload in payloads:
                self.holdings.end_later(payload["properties"]["delivery_tag"], give_back=True)

    def admit(self, items: Sequence[bytes]) -> list[dict[str, Any]]:
        """Return clean messages, noted as taken, of what was taken; park what is none.

        Raises:
            Empty: Redis refuses to note them.
        """
        taken = []
        for item in items:
            try:
                taken.append((item, validate_message(item, self.max_countdown_s)))
            except InvalidMessage as exc:
                self._park(item, str(exc))
        if taken:
            self._waiting = self.qos.note(taken)
        return [payload for _, payload in taken]

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
                pipe.lrem(self.taker.key, -1, item)
                pipe.execute()
            logger.error("parked what is no job: %s; `clipqueue doctor` shows it", reason)
        except RedisError as exc:  # it goes back to the queue, when this process signs in again
            logger.error("what is no job cannot be parked: %s", exc)  # noqa: TRY400  (no defect of ours)

    def settle(self) -> None:
        """Tell Redis of the jobs that have ended, all together; what it could not be told, the watch tells it later."""
        if not self.holdings.has_news:
            return
        try:
            with self.conn_or_acquire() as client:
                self.holdings.settle(client)
        except (RedisError, OSError) as exc:
            logger.warning("Redis is told later what became of some messages: %s", exc)

    def close(self) -> None:
        """Tell Redis what has ended, and close."""
        self.settle()
        super().close()  # type: ignore[no-untyped-call]

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002  (kombu's signature)
        """Return a client; the one for commands is kept, as to make one takes longer than most commands."""
        if asynchronous:
            return super()._create_client(asynchronous)  # type: ignore[no-untyped-call]
        if self._commands is None or self._commands.connection_pool is not self.pool:
            self._commands = super()._create_client()  # type: ignore[no-untyped-call]
        return self._commands

    def _connparams(self, *args: Any, **kwargs: Any) -> Any:
        # Late acks, and the giving back at its end, still use a channel whose connection was lost. kombu meets None
        # there, and the AttributeError would end the worker.
        if self.connection is None or self.connection.client is None:
            raise LostConnection("this connection to Redis was lost")
        return super()._connparams(*args, **kwargs)  # type: ignore[no-untyped-call]

    def _get_client(self) -> Any:
        channel = self

        class GatedRedis(super()._get_client()):  # type: ignore[misc]
            """Reads what was taken through the channel's gate."""

            def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
                if command_name != "BRPOP" or not channel._takes_jobs:
                    return super().parse_response(connection, command_name, **options)
                try:
                    item = super().parse_response(connection, "BLMOVE", **options)
                except ResponseError as exc:
                    channel.note_refusal(exc)
                    return None
                admitted = [] if item is None else channel.admit([item])
                return [IMAGE_QUEUE.encode(), json.dumps(admitted[0]).encode()] if admitted else None

        return GatedRedis

    def _do_restore_message(self, payload: Any, *args: Any, **kwargs: Any) -> None:
        if self.restoring_thread == threading.get_ident():
            headers = payload["headers"]
            headers[LOST_HEADER] = headers.get(LOST_HEADER, 0) + 1
        super()._do_restore_message(payload, *args, **kwargs)  # type: ignore[no-untyped-call]


class Transport(kombu_redis.Transport):
    """kombu's Redis transport with this module's channel."""

    Channel = Channel

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Take part in Celery's event loop, and tell Redis at each turn what has ended."""
        super().register_with_event_loop(connection, loop)  # type: ignore[no-untyped-call]
        loop.on_tick.add(self._settle)

    def _settle(self) -> None:
        for channel in self.channels[:1]:  # any can tell it
            channel.settle()
