"""kombu's Redis transport with three changes: clean messages only, no more than a worker can hold, losses counted.

`install` puts it in the place of kombu's own for `redis://` and `rediss://`.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from redis.exceptions import RedisError

from producer.contract import IMAGE_QUEUE, PARKED_LIST, now_ms
from worker.messages import LOST_HEADER, NotAMessage, read_message

logger = logging.getLogger(__name__)

_MAX_PARKED = 1000
_MAX_PARKED_BYTES = 16_384
_SEPARATOR = "\x06\x16"  # kombu's, between a queue's name and a priority


def install() -> None:
    """Make Celery use this transport for Redis URLs. Not by `broker_transport`, which Flower cannot read."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"


class QoS(kombu_redis.QoS):
    """Bounds what waits unacked in memory, and marks what it takes from a worker that did not answer for it in time."""

    def can_consume(self) -> bool:
        """Return whether one more message may be taken (called before each BRPOP).

        Retries wait for their time unacked: without a bound, an outage of one image host would fill the memory. Not by
        `worker_eta_task_limit`: each wave of retries beyond it costs the worker threads for good, since kombu clips
        what it adds to the prefetch count and not what it takes away.
        """
        most = self.channel.max_unacked
        has_room = not most or len(self._delivered) - len(self._dirty) < most
        return has_room and bool(super().can_consume())  # type: ignore[no-untyped-call]

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Give the jobs of lost workers back to the queue (called every CLIPQUEUE_RESTORE_INTERVAL_S)."""
        self.channel.restoring_thread = threading.get_ident()
        try:
            super().restore_visible(*args, **kwargs)  # type: ignore[no-untyped-call]
        finally:
            self.channel.restoring_thread = None


class Channel(kombu_redis.Channel):
    """Takes messages off the queue through `worker.messages`, and parks what is none.

    Attributes:
        restoring_thread: The thread that now gives the jobs of lost workers back; others give back their own.
        max_countdown_s: A transport option: most seconds that a message may ask to wait.
        max_unacked: A transport option: most messages held at once; 0 for any number.
    """

    QoS = QoS
    from_transport_options: Any = (*kombu_redis.Channel.from_transport_options, "max_countdown_s", "max_unacked")
    max_countdown_s: float = 0.0
    max_unacked: int = 0
    restoring_thread: int | None = None

    def admit(self, answer: list[bytes] | None) -> list[bytes] | None:
        """Return BRPOP's answer with a clean message in it; None, as if there had been nothing, for what is none."""
        if not answer:
            return answer
        key, item = answer
        queue = key.decode("utf-8", "replace").partition(_SEPARATOR)[0]
        if queue != IMAGE_QUEUE:  # answers to `celery inspect`, of Celery's own making
            return answer
        try:
            return [key, json.dumps(read_message(item, self.max_countdown_s)).encode()]
        except NotAMessage as exc:
            self._park(item, str(exc))
            return None

    def _park(self, item: bytes, reason: str) -> None:
        logger.error("parked what is no job: %s; `clipqueue doctor` shows it", reason)
        entry = {
            "parked_at": now_ms(),
            "reason": reason,
            "bytes": len(item),
            "item": base64.b64encode(item[:_MAX_PARKED_BYTES]).decode(),
        }
        try:
            with self.conn_or_acquire() as client:
                client.lpush(PARKED_LIST, json.dumps(entry))
                client.ltrim(PARKED_LIST, 0, _MAX_PARKED - 1)
        except RedisError as exc:
            logger.error("it could not be parked, and is gone: %s", exc)  # noqa: TRY400  (no defect of ours)

    def _get_client(self) -> Any:
        channel = self

        class GatedRedis(super()._get_client()):  # type: ignore[misc]
            """Reads the answers of BRPOP through the channel's gate."""

            def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
                answer = super().parse_response(connection, command_name, **options)
                return channel.admit(answer) if command_name == "BRPOP" else answer

        return GatedRedis

    def _do_restore_message(self, payload: Any, *args: Any, **kwargs: Any) -> None:
        if self.restoring_thread == threading.get_ident():
            headers = payload["headers"]
            headers[LOST_HEADER] = headers.get(LOST_HEADER, 0) + 1
        super()._do_restore_message(payload, *args, **kwargs)  # type: ignore[no-untyped-call]


class Transport(kombu_redis.Transport):
    """kombu's Redis transport with this module's channel."""

    Channel = Channel
