"""The client after a failover, on a full Redis and on a cluster. The old primary keeps its connections open."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING, Any

import pytest

from producer import BrokerUnavailable, EmbeddingClient
from producer.client.broker import Broker, UnsupportedRedis
from tests.support.redis_servers import HOST, Relay, port_of, replicate, valkey
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


CALLS: dict[str, Callable[[Any], Any]] = {
    "command": lambda client: client.lpush("images", "x"),
    "pipeline": lambda client: client.pipeline(transaction=False).lpush("images", "x").llen("images").execute(),
    "transaction": lambda client: client.pipeline().lpush("images", "x").llen("images").execute(),
    "watch": lambda client: client.transaction(lambda pipe: (pipe.multi(), pipe.lpush("images", "x")), "images"),
    "script": lambda client: client.eval("return redis.call('lpush', KEYS[1], 'x')", 1, "images"),
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    folder = tmp_path_factory.mktemp("failover")
    with valkey(folder / "old") as old, valkey(folder / "new") as new:
        yield old, new


@pytest.fixture
def pair(servers: tuple[Any, Any]) -> Iterator[tuple[Any, Any, Relay]]:
    """Two primaries without data, and the address that both have one after the other."""
    for server in servers:
        server.replicaof("NO", "ONE")
        server.config_set("min-replicas-to-write", "0")
        server.config_set("replica-serve-stale-data", "yes")
        server.flushall()
    with Relay(port_of(servers[0])) as relay:
        yield (*servers, relay)


def no_replicas(old: Any, new: Any) -> None:
    old.config_set("min-replicas-to-write", "1")


def demote(old: Any, new: Any) -> None:
    replicate(old, new)


def lose_the_primary(old: Any, new: Any) -> None:
    old.config_set("replica-serve-stale-data", "no")
    old.replicaof(HOST, "1")


@pytest.mark.parametrize("fail_over", [demote, no_replicas, lose_the_primary])
def test_the_next_call_goes_to_the_new_primary(
    fail_over: Callable[[Any, Any], None], pair: tuple[Any, Any, Relay]
) -> None:
    old, new, relay = pair
    with EmbeddingClient(f"redis://{HOST}:{relay.port}") as client:
        client.enqueue("a", "http://host/a.jpg")
        fail_over(old, new)
        relay.target = port_of(new)
        client.enqueue("b", "http://host/b.jpg")
        assert new.llen("images") == 1
        client.enqueue("c", "http://host/c.jpg")
    assert new.llen("images") == 2
    assert relay.accepted == 2


@pytest.mark.parametrize("call", CALLS)
def test_every_kind_of_call_is_sent_again(call: str, pair: tuple[Any, Any, Relay]) -> None:
    old, new, relay = pair
    broker = Broker(f"redis://{HOST}:{relay.port}")
    with broker.commands("did not answer") as client:
        client.ping()
        demote(old, new)
        relay.target = port_of(new)
        CALLS[call](client)
    assert new.llen("images") == 1
    broker.close()


def test_a_read_that_needs_the_primary_is_sent_again(pair: tuple[Any, Any, Relay]) -> None:
    """A replica that has lost its primary answers MASTERDOWN."""
    old, new, relay = pair
    broker = Broker(f"redis://{HOST}:{relay.port}")
    with broker.commands("did not answer") as client:
        client.ping()
        lose_the_primary(old, new)
        relay.target = port_of(new)
        assert client.llen("images") == 0
    broker.close()


def test_a_blocked_pop_is_sent_again(pair: tuple[Any, Any, Relay]) -> None:
    """A primary that becomes a replica answers UNBLOCKED."""
    old, new, relay = pair
    broker = Broker(f"redis://{HOST}:{relay.port}")
    popped: list[Any] = []

    def pop() -> None:
        with broker.commands("did not answer") as client:
            popped.append(client.brpop(["images"], timeout=4))

    thread = threading.Thread(target=pop)
    thread.start()
    wait_for(lambda: old.info("clients")["blocked_clients"], "the pop")
    relay.target = port_of(new)
    new.lpush("images", "x")
    demote(old, new)
    thread.join()
    assert [tuple(one) for one in popped] == [(b"images", b"x")]
    broker.close()


def test_no_idle_connection_to_the_old_primary_is_left(pair: tuple[Any, Any, Relay]) -> None:
    old, new, relay = pair
    broker = Broker(f"redis://{HOST}:{relay.port}")
    pool = broker._redis.connection_pool
    idle = [pool.get_connection() for _ in range(3)]
    for connection in idle:
        pool.release(connection)
    demote(old, new)
    relay.target = port_of(new)
    with broker.commands("did not answer") as client:
        client.lpush("images", "x")
    assert sum(connection._sock is not None for connection in idle) == 1
    broker.close()


def test_if_there_is_no_new_primary_the_error_says_so_and_the_connections_are_dropped(
    pair: tuple[Any, Any, Relay],
) -> None:
    old, new, relay = pair
    with EmbeddingClient(f"redis://{HOST}:{relay.port}") as client:
        demote(old, new)
        with pytest.raises(BrokerUnavailable, match="it is not the primary, or not ready: You can't write"):
            client.enqueue("a", "http://host/a.jpg")
        relay.target = port_of(new)
        client.enqueue("b", "http://host/b.jpg")
    assert new.llen("images") == 1


def full(server: Any, folder: Path) -> Callable[[], object]:
    server.config_set("maxmemory", "1")
    return lambda: server.config_set("maxmemory", "0")


def unable_to_save(server: Any, folder: Path) -> Callable[[], object]:
    server.config_set("save", "3600 1")
    shutil.rmtree(folder)
    server.bgsave()
    wait_for(lambda: server.info("persistence")["rdb_last_bgsave_status"] == "err", "the snapshot to fail")
    return lambda: server.config_set("save", "")


def without_permission(server: Any, folder: Path) -> Callable[[], object]:
    server.execute_command("ACL", "SETUSER", "default", "-lpush")
    return lambda: server.execute_command("ACL", "SETUSER", "default", "+lpush")


@pytest.mark.parametrize(
    ("refuse", "reason"),
    [
        (full, "did not accept the job: it is full: its memory has reached maxmemory. Start more workers"),
        (unable_to_save, "it cannot save them: check its log, and the free space on its disk"),
        (without_permission, "no permissions to run the 'lpush' command"),
    ],
)
def test_a_primary_that_refuses_keeps_the_connection_and_the_error_says_what_to_do(
    refuse: Callable[[Any, Path], Callable[[], object]], reason: str, tmp_path: Path
) -> None:
    with (
        valkey(tmp_path / "server") as server,
        Relay(port_of(server)) as relay,
        EmbeddingClient(f"redis://{HOST}:{relay.port}") as client,
    ):
        mend = refuse(server, tmp_path / "server")
        for _ in range(2):
            with pytest.raises(BrokerUnavailable) as caught:
                client.enqueue("a", "http://host/a.jpg?signature=hunter2")
            assert reason in str(caught.value)
            assert "hunter2" not in str(caught.value)
        mend()
        client.enqueue("a", "http://host/a.jpg")
        assert server.llen("images") == 1
        assert relay.accepted == 1


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_cluster_is_refused_in_words(protocol: int, tmp_path: Path) -> None:
    with valkey(tmp_path / "server", "cluster-enabled yes") as server:
        server.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 8000)  # the queue's slot is not among them
        broker = Broker(f"redis://{HOST}:{port_of(server)}?protocol={protocol}")
        with pytest.raises(UnsupportedRedis, match="a Redis Cluster is not supported"):
            broker.refuse_cluster()
        broker.close()
