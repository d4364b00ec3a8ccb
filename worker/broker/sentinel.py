"""Celery's connection for a RedisUrl: its settings, and a transport for Sentinel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from producer.contract.redis_options import KEEPALIVE
from producer.contract.redis_url import show_address
from worker.broker import transport

if TYPE_CHECKING:
    from producer.contract.redis_url import RedisUrl

_SOCKET_TIMEOUT_S = 10.0
_CONNECT_TIMEOUT_S = 5.0
_HEALTH_CHECK_S = 10


def install() -> None:
    """Make Celery use clipqueue's transports for Redis URLs."""
    transport.install()
    TRANSPORT_ALIASES["sentinel"] = f"{__name__}:SentinelTransport"


class SentinelChannel(transport.Channel, kombu_redis.SentinelChannel):
    """The channel of `worker.broker.transport`, which asks the sentinels for the primary at each connection."""

    from_transport_options: Any = tuple(
        dict.fromkeys(transport.Channel.from_transport_options + kombu_redis.SentinelChannel.from_transport_options)
    )
    sentinel_kwargs: Any = None

    def _get_pool(self, *args: Any, **kwargs: Any) -> Any:
        # The sentinels are asked one after the other, and redis-py would try each that is down for seconds. Not in the
        # transport options, because Flower passes those to asyncio's clients, which need a retry of another class.
        self.sentinel_kwargs = {**(self.sentinel_kwargs or {}), "retry": Retry(NoBackoff(), 0)}
        return super()._get_pool(*args, **kwargs)  # type: ignore[no-untyped-call]


class SentinelTransport(transport.Transport):
    """The transport of `worker.broker.transport` for Sentinel."""

    default_port: Any = kombu_redis.SentinelTransport.default_port
    Channel = SentinelChannel


def celery_settings(url: RedisUrl) -> dict[str, Any]:
    """Return Celery's `broker_url`, `broker_use_ssl` and the part of `broker_transport_options` that connects."""
    waits = {"socket_timeout": _SOCKET_TIMEOUT_S, "socket_connect_timeout": _CONNECT_TIMEOUT_S}
    options = {
        **waits,
        "socket_keepalive": True,
        "socket_keepalive_options": KEEPALIVE,
        "client_name": "clipqueue-worker",
        **url.options,
        # kombu would take a connection that waits for a message for a broken one.
        "health_check_interval": max(_HEALTH_CHECK_S, url.options.get("health_check_interval", 0)),
    }
    if url.master_name:
        options |= {
            "master_name": url.master_name,
            "min_other_sentinels": url.min_other_sentinels,
            "sentinel_kwargs": {
                **{name: options[name] / len(url.addresses) for name in waits},
                **url.sentinel_login,
                **({"ssl": True, **url.sentinel_tls} if url.sentinel_tls else {}),
            },
        }
    return {
        "broker_url": _broker_url(url),
        "broker_use_ssl": dict(url.tls) if url.tls else None,
        "broker_transport_options": options,
    }


def _broker_url(url: RedisUrl) -> str:
    """Return the URL in the one form that kombu reads as `parse_redis_url` does."""
    login = ""
    if url.username or url.password:
        login = f"{quote(url.username or '', safe='')}:{quote(url.password or '', safe='')}@"
    if url.path:
        return f"redis+socket://{login}{quote(url.path)}?virtual_host={url.db}"
    scheme = "sentinel" if url.master_name else "rediss" if url.tls else "redis"
    # kombu asks the sentinels in this order.
    return ";".join(f"{scheme}://{login}{show_address(address)}/{url.db}" for address in url.addresses)
