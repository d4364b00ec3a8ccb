"""Two Redis servers, of which one is the primary, and planned failovers between them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import redis

from tests.support.redis_servers import Relay
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.processes import ManagedProcess

_SYNC_S = 120.0


class Failover:
    """A pair of servers; the second one becomes a replica of the first one.

    Args:
        pair: Each server and its port, the primary first.
    """

    def __init__(self, pair: list[tuple[ManagedProcess, int]]) -> None:
        self._pair = pair
        (_, primary), (_, replica) = pair
        with _connect(replica) as client:
            client.replicaof("127.0.0.1", str(primary))
        self._relay = Relay(primary)

    @property
    def primary(self) -> ManagedProcess:
        """The server that is the primary now."""
        return self._pair[0][0]

    @contextmanager
    def relayed_url(self) -> Iterator[str]:
        """Yield the URL that leads to the primary."""
        with self._relay:
            yield f"redis://127.0.0.1:{self._relay.port}/0"

    def run(self) -> None:
        """Make the replica the primary, and the primary a replica that keeps its connections open."""
        (_, old), (_, new) = self._pair
        with _connect(old) as primary, _connect(new) as replica:
            if not _is_replica_of(replica, old):  # the primary was restarted, or this server was
                replica.replicaof("127.0.0.1", str(old))
            wait_for(lambda: _is_replica_of(replica, old), "the replica to be in sync", _SYNC_S)
            primary.execute_command("FAILOVER", "TO", "127.0.0.1", str(new))
            wait_for(lambda: _info(replica)["role"] == "master", "the replica to be the primary", _SYNC_S)
        self._relay.target = new
        self._pair.reverse()


def _connect(port: int) -> redis.Redis:
    return redis.Redis(port=port)


def _info(client: redis.Redis) -> dict[str, Any]:
    info: Any = client.info("replication")
    return dict(info)


def _is_replica_of(client: redis.Redis, port: int) -> bool:
    info = _info(client)
    return bool((info["role"], info.get("master_port"), info.get("master_link_status")) == ("slave", port, "up"))
