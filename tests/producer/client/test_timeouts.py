"""How long the client waits for a Redis that does not answer."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from producer import BrokerUnavailable, EmbeddingClient
from producer.client.bounded import Deadline
from producer.client.broker import Broker
from tests.support.redis_servers import Relay
from tests.support.servers import SocketServer

if TYPE_CHECKING:
    import socket

    import redis


def waits_of(client: EmbeddingClient) -> tuple[float, float]:
    return broker_waits(client._broker)


def broker_waits(broker: Broker) -> tuple[float, float]:
    connection: Any = broker._redis.connection_pool.make_connection()
    return connection.socket_connect_timeout, connection.socket_timeout


def test_a_silent_redis_costs_at_most_the_timeout() -> None:
    """Counted in waits: the server sees every attempt, and each can wait once, because no answer ever comes."""
    attempts: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        attempts.append(connection.recv(1000))
        while connection.recv(1000):
            pass

    with SocketServer(serve) as server, EmbeddingClient(f"redis://127.0.0.1:{server.port}", timeout_s=0.4) as client:
        with pytest.raises(BrokerUnavailable, match="Timeout"):
            client.enqueue("a", "http://host/a.jpg")
        assert 1 <= len(attempts) <= 2
        assert len(attempts) * waits_of(client)[1] <= 0.4


def test_the_default_is_2_seconds_and_the_urls_own_timeouts_win() -> None:
    with EmbeddingClient("redis://host") as client:
        assert (client._timeout_s, waits_of(client)) == (2.0, (1.0, 1.0))
        assert broker_waits(client._bulk_broker) == (5.0, 5.0)  # for the chunks of enqueue_many
    with EmbeddingClient("redis://host?socket_timeout=7") as client:
        assert (client._timeout_s, waits_of(client)) == (7.0, (3.5, 7.0))
    with EmbeddingClient("redis://host?socket_connect_timeout=0.5") as client:
        assert (client._timeout_s, waits_of(client)) == (2.0, (0.5, 1.0))
    with EmbeddingClient("redis://host?socket_timeout=7", timeout_s=1.0) as client:
        assert (client._timeout_s, waits_of(client)) == (1.0, (0.5, 7.0))


def test_a_connection_that_the_network_has_forgotten_leaves_time_for_a_new_one(
    redis_url: str, queue: redis.Redis
) -> None:
    url = urlsplit(redis_url)
    with Relay(url.port or 0) as relay, EmbeddingClient(f"redis://127.0.0.1:{relay.port}{url.path}") as client:
        client.enqueue("a", "http://host/a.jpg")
        relay.forgotten = relay.accepted
        client.enqueue("b", "http://host/b.jpg")
        assert relay.accepted == 2
    assert queue.llen("images") == 2


@pytest.mark.parametrize("waits", range(1, 12))
def test_all_waits_of_a_call_together_keep_the_deadline(waits: int, redis_url: str, queue: redis.Redis) -> None:
    """A clock that goes one second on each time it is read stands for a server that answers each command late."""
    ticks = itertools.count()
    broker = Broker(redis_url, deadline=Deadline(lambda: float(next(ticks))))

    def ping_forever() -> None:
        with broker.commands("did not answer", within_s=float(waits)) as client:
            while True:
                client.ping()

    with pytest.raises(BrokerUnavailable, match="no time is left"):
        ping_forever()
    assert next(ticks) <= waits + 6
    with broker.commands("did not answer") as client:
        assert client.echo("no answer of an earlier command") == b"no answer of an earlier command"
    broker.close()


def test_no_wait_is_longer_than_what_is_left(redis_url: str) -> None:
    broker = Broker(redis_url, deadline=Deadline(lambda: 0.0))
    with broker.commands("did not answer", within_s=0.5) as client, broker.commands("did not answer", within_s=9):
        client.ping()
        connection: Any = client.connection_pool.get_connection()
        assert (connection.socket_connect_timeout, connection.socket_timeout) == (0.5, 0.5)
        assert connection._sock.gettimeout() == 0.5
        client.connection_pool.release(connection)
    with broker.commands("did not answer") as client:
        connection = client.connection_pool.get_connection()
        connection.send_command("PING")
        assert connection.read_response() == b"PONG"
        assert connection._sock.gettimeout() == connection.socket_timeout == 5.0
        assert connection.health_check_interval == 30
        client.connection_pool.release(connection)
    broker.close()
