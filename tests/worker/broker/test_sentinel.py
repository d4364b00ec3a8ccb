"""Sentinel: the client and Celery ask real sentinels for the primary, and find the new one after a failover."""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, Any

import kombu
import pytest
import trustme
from kombu.exceptions import OperationalError

from producer import BrokerUnavailable, EmbeddingClient
from tests.support.doctor import run_doctor
from tests.support.redis_servers import HOST, Relay, port_of, valkey
from tests.support.servers import tls_context
from tests.support.waiting import wait_for
from worker.app import create_app
from worker.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from producer.local.stack import Stack

untyped: Any = kombu
NOT_FOUND = "no sentinel answered that knows this primary"


class Group:
    """A primary, a replica and two sentinels. Each listens behind a relay, so the same ports speak TLS too.

    Attributes:
        servers: The primary and the replica at the start.
        addresses: `host:port` of the sentinels.
        ca: The path of the authority's certificate.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        authority = trustme.CA()
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self._tls = tls_context(authority, HOST)
        self._stack = stack
        self.relays = [self._relay(0), self._relay(0)]
        self.servers = [self._server(folder / f"server{number}", relay) for number, relay in enumerate(self.relays)]
        self.servers[1].replicaof(HOST, str(self.relays[0].port))
        self._sentinels = [self._sentinel(folder / f"sentinel{number}") for number in range(2)]
        self.addresses = [f"{HOST}:{self._relay(port_of(sentinel)).port}" for sentinel in self._sentinels]
        for sentinel in self._sentinels:
            wait_for(partial(self._is_complete, sentinel), "the sentinels to know each other and the replica")

    @property
    def primary_port(self) -> int:
        """The port of the primary by the first sentinel."""
        return int(self._sentinels[0].sentinel_get_master_addr_by_name("shop")[1])

    def _relay(self, target: int) -> Relay:
        return self._stack.enter_context(Relay(target, self._tls))

    def _server(self, folder: Path, relay: Relay) -> Any:
        announced = ("replica-announce-ip 127.0.0.1", f"replica-announce-port {relay.port}")
        server: Any = self._stack.enter_context(valkey(folder, *announced))
        relay.target = port_of(server)
        return server

    def _sentinel(self, folder: Path) -> Any:
        config = (
            f"sentinel monitor shop {HOST} {self.relays[0].port} 1",
            "sentinel down-after-milliseconds shop 500",
            "sentinel failover-timeout shop 3000",
            "requirepass sesame",
            "sentinel sentinel-pass sesame",
        )
        return self._stack.enter_context(valkey(folder, *config, sentinel=True, password="sesame"))

    def _is_complete(self, sentinel: Any) -> bool:
        state: Any = sentinel.sentinel_masters()["shop"]
        return (state["num-other-sentinels"], state["num-slaves"]) == (1, 1)


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    """For all tests; the last one changes it."""
    with ExitStack() as stack:
        yield Group(tmp_path_factory.mktemp("sentinel"), stack)


class Consumer:
    """Consumes as Celery does: on a broken connection it makes a new one. Keeps the ids of the messages."""

    def __init__(self, app: Any) -> None:
        self.received: list[str] = []
        self._app = app
        self._connect()

    def has(self, task_id: str) -> bool:
        """Wait a moment for messages; return whether this one came."""
        try:
            self._connection.drain_events(timeout=1)
        except TimeoutError:
            pass
        except self._connection.recoverable_connection_errors:
            self.close()
            self._connect()
        return task_id in self.received

    @property
    def sentinel_retries(self) -> set[int]:
        sentinels = self._connection.default_channel._async_sentinel_manager.sentinels
        return {one.get_connection_kwargs()["retry"].get_retries() for one in sentinels}

    def close(self) -> None:
        self._connection.release()

    def _connect(self) -> None:
        self._connection = self._app.connection()
        self._connection.ensure_connection(max_retries=50, interval_start=0.1, interval_max=0.1)
        consumer = untyped.Consumer(self._connection.default_channel, self._app.conf.task_queues, accept=["json"])
        consumer.register_callback(self._receive)
        consumer.qos(prefetch_count=8)
        consumer.consume()

    def _receive(self, _: Any, message: Any) -> None:
        self.received.append(message.headers["id"])
        message.ack()


@pytest.fixture
def consume(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Consumer]]:
    """A function that starts a consumer for a URL."""
    with ExitStack() as stack:

        def start(url: str) -> Consumer:
            monkeypatch.setenv("REDIS_URL", url)
            return stack.enter_context(closing(Consumer(create_app(load_settings()))))

        yield start


def test_with_tls_and_passwords_for_redis_and_for_the_sentinels(
    group: Group, consume: Callable[[str], Consumer], stack: Stack
) -> None:
    """Celery's list of URLs. The first sentinel does not exist."""
    options = f"master_name=shop&sentinel_password=sesame&min_other_sentinels=1&ssl_ca_certs={group.ca}"
    urls = [f"sentinel://test:test@{address}/3" for address in (f"{HOST}:1", *group.addresses)]
    url = f"{';'.join(urls)}?{options}"
    with EmbeddingClient(url) as client:
        consumer = consume(url)
        task_id = client.enqueue("a", "http://host/a.jpg")
        wait_for(lambda: consumer.has(task_id), "the message")
        assert consumer.sentinel_retries == {0}, "one that is down must cost no more than one attempt"
    assert group.servers[0].info("keyspace")["db3"]["keys"] > 0
    found = run_doctor(stack, REDIS_URL=url)
    assert found.is_ok["redis"]
    assert "shop (sentinels 127.0.0.1:1, " in found.text["redis"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("master_name=other&sentinel_password=sesame", NOT_FOUND),
        ("master_name=shop", NOT_FOUND),
        ("master_name=shop&sentinel_password=hunter2", NOT_FOUND),
        (
            "master_name=shop&sentinel_password=sesame&min_other_sentinels=2",
            NOT_FOUND,
        ),
        ("master_name=shop&sentinel_password=sesame&ssl=true", NOT_FOUND),
        ("master_name=shop&sentinel_password=sesame&ssl=true&sentinel_ssl=false", "CERTIFICATE_VERIFY_FAILED"),
    ],
)
def test_an_unusable_group_is_an_unavailable_redis_for_both_sides(
    options: str, reason: str, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    celery_reason = "No master found for" if reason == NOT_FOUND else reason
    url = f"sentinel://:hunter2@{group.addresses[0]}/3?{options}"
    own_reason = "its certificate is not trusted" if reason == "CERTIFICATE_VERIFY_FAILED" else reason
    with EmbeddingClient(url) as client, pytest.raises(BrokerUnavailable, match=own_reason) as caught:
        client.enqueue("a", "http://host/a.jpg")
    monkeypatch.setenv("REDIS_URL", url)
    with create_app(load_settings()).connection() as connection:
        with pytest.raises(OperationalError, match=celery_reason) as failed:
            connection.ensure_connection(max_retries=1, interval_start=0)
        assert "hunter2" not in f"{caught.value} {failed.value} {connection.as_uri()}"


def test_both_sides_follow_a_failover(group: Group, consume: Callable[[str], Consumer]) -> None:
    """The client and the consumer are connected to the primary when it dies. This is the last test of the group."""
    url = f"sentinel://{','.join(group.addresses)}/3?master_name=shop&sentinel_password=sesame"
    first, second = group.servers
    with EmbeddingClient(url) as client:
        consumer = consume(url)
        task_id = client.enqueue("a", "http://host/a.jpg")
        wait_for(lambda: consumer.has(task_id), "the first message")
        assert int(first.info("clients")["connected_clients"]) > 1
        first.shutdown(nosave=True, now=True, force=True)
        wait_for(lambda: second.role()[0] == b"master" and group.primary_port == group.relays[1].port, "the failover")
        task_id = client.enqueue("b", "http://host/b.jpg")
        wait_for(lambda: consumer.has(task_id), "a message from the new primary")
