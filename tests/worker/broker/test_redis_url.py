"""One REDIS_URL is the same server and database for the client and for Celery, in each spelling."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import trustme
from kombu.exceptions import OperationalError

from producer import BrokerUnavailable, EmbeddingClient
from producer.client.broker import Broker
from tests.support.redis_servers import HOST, Relay, port_of, valkey
from tests.support.servers import tls_context
from worker.app import create_app
from worker.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator


PASSWORD = "p@ss:w/rd#?%41 é"
ENCODED = quote(PASSWORD, safe="")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the URLs below name: a server with a password, on IPv4, IPv6 and a socket, and behind TLS."""
    folder = tmp_path_factory.mktemp("urls")
    authority = trustme.CA()
    own = authority.issue_cert(HOST)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    own.private_key_pem.write_to_path(str(folder / "key.pem"))
    own.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    with valkey(folder / "server", f"unixsocket {folder}/s", "bind 127.0.0.1 -::1") as client:
        for user in ("default", "alice"):
            client.acl_setuser(user, enabled=True, reset_passwords=True, passwords=[f"+{PASSWORD}"], **EVERYTHING)
        client.acl_setuser("bob", enabled=True, reset_passwords=True, nopass=True, **EVERYTHING)
        strict = tls_context(authority, HOST)
        mutual = tls_context(authority, HOST)
        mutual.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(mutual)
        with Relay(port_of(client), strict) as tls, Relay(port_of(client), mutual) as mtls:
            other = tls_context(authority, "other.test")
            with Relay(port_of(client), other) as misnamed:
                yield {
                    "client": client,
                    "tcp": f"{HOST}:{port_of(client)}",
                    "port": port_of(client),
                    "tls": f"{HOST}:{tls.port}",
                    "mutual": f"{HOST}:{mtls.port}",
                    "misnamed": f"{HOST}:{misnamed.port}",
                    "folder": folder,
                }


EVERYTHING: dict[str, Any] = {"keys": ["*"], "channels": ["*"], "categories": ["+@all"]}
CA = "ssl_ca_certs={folder}/ca.pem"
SPELLINGS = [
    ("redis://:{pw}@{tcp}", 0),
    ("redis://:{pw}@{tcp}/", 0),
    ("redis://:{pw}@{tcp}/0", 0),
    (" redis://:{pw}@{tcp}/3\n", 3),
    ("REDIS://:{pw}@{tcp}/3", 3),
    ("redis://:{pw}@{tcp}/3/", 3),
    ("redis://:{pw}@{tcp}?db=3", 3),
    ("redis://:{pw}@{tcp}/?db=3", 3),
    ("redis://:{pw}@{tcp}/3?db=3", 3),
    ("redis://:{pw}@localhost:{port}/3", 3),
    ("redis://:{pw}@[::1]:{port}/3", 3),
    ("redis://alice:{pw}@{tcp}/3", 3),
    ("redis://default:{pw}@{tcp}/3", 3),
    ("redis://bob@{tcp}/3", 3),
    ("redis://bob:@{tcp}/3", 3),
    ("redis://{tcp}/3?username=alice&password={pw}", 3),
    ("redis://:{pw}@{tcp}/3?family=0", 3),
    ("redis://:{pw}@{tcp}/3?family=6&connectTimeout=10000&lazyConnect=true&dial_timeout=5s", 3),
    ("redis://:{pw}@{tcp}/3?ssl=false", 3),
    ("redis://:{pw}@{tcp}/3?protocol=2", 3),
    ("redis://:{pw}@{tcp}/3?protocol=3", 3),
    ("redis://:{pw}@{tcp}/3?socket_timeout=7&socket_connect_timeout=3&socket_keepalive=no", 3),
    ("redis://:{pw}@{tcp}/3?health_check_interval=25&max_connections=20&client_name=shop&db=", 3),
    ("unix://{folder}/s?db=3&username=alice&password={pw}", 3),
    ("unix://:{pw}@{folder}/s", 0),
    ("unix://alice:{pw}@{folder}/s?db=3&protocol=2&socket_timeout=7&socket_connect_timeout=3", 3),
    ("redis+socket://:{pw}@{folder}/s?virtual_host=3", 3),
    ("redis+socket://alice:{pw}@{folder}/s?db=3", 3),
    ("rediss://:{pw}@{tls}/3?" + CA, 3),
    ("rediss://:{pw}@{tls}/3?ssl=true&" + CA, 3),
    ("rediss://:{pw}@{tls}/3?ssl_ca_path={folder}&ssl_cert_reqs=none", 3),
    *[
        (f"rediss://:{{pw}}@{{tls}}/3?ssl_cert_reqs={value}&{CA}", 3)
        for value in (
            "required",
            "optional",
            "CERT_REQUIRED",
            "CERT_OPTIONAL",
            "ssl.CERT_REQUIRED",
            "2",
            "1",
            "Required",
        )
    ],
    *[
        (f"rediss://:{{pw}}@{{tls}}/3?ssl_cert_reqs={value}", 3)
        for value in ("none", "CERT_NONE", "ssl.CERT_NONE", "VerifyMode.CERT_NONE", "None", "0")
    ],
    *[
        (f"rediss://:{{pw}}@{{misnamed}}/3?ssl_check_hostname={value}&{CA}", 3)
        for value in ("false", "False", "0", "no", "N", "f", "off")
    ],
    (f"rediss://:{{pw}}@{{mutual}}/3?ssl_certfile={{folder}}/cert.pem&ssl_keyfile={{folder}}/key.pem&{CA}", 3),
    (f"rediss://:{{pw}}@{{tls}}/3?ssl_min_version=TLSv1.3&protocol=2&{CA}", 3),
    (f"rediss://:{{pw}}@{{tls}}/3?ssl_min_version=771&ssl_ciphers=ECDHE%2BAESGCM&{CA}", 3),
]


def app_of(url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("REDIS_URL", url)
    return create_app(load_settings())


@pytest.mark.parametrize(("spelling", "db"), SPELLINGS, ids=[spelling for spelling, _ in SPELLINGS])
def test_the_client_pushes_where_celery_reads(
    spelling: str, db: int, server: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = spelling.format(pw=ENCODED, **server)
    client: Any = server["client"]
    client.flushall()
    with EmbeddingClient(url) as own:
        task_id = own.enqueue("a", "http://host/a.jpg")
    assert int(client.info("keyspace").get(f"db{db}", {}).get("keys", 0)) == 1
    with app_of(url, monkeypatch).connection() as connection:
        channel = connection.default_channel
        message = channel.basic_get("images")
        assert message.headers["id"] == task_id
        channel.basic_ack(message.delivery_tag)
        assert PASSWORD not in connection.as_uri()
        assert ENCODED not in connection.as_uri()


@pytest.mark.parametrize(
    "scheme", ["redis://:{pw}@{tcp}/3?", "unix://:{pw}@{folder}/s?db=3&", "rediss://:{pw}@{tls}/3?"]
)
def test_both_sides_connect_as_the_options_say(
    scheme: str, server: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the server sees of a connection, and how long each side waits."""
    options = "protocol=2&client_name=shop&socket_timeout=7&socket_connect_timeout=3&max_connections=5"
    tls = f"&ssl_ca_certs={server['folder']}/ca.pem" if scheme.startswith("rediss") else ""
    url = scheme.format(pw=ENCODED, **server) + options + "&health_check_interval=25" + tls
    client: Any = server["client"]
    broker = Broker(url)
    with app_of(url, monkeypatch).connection() as connection, broker.commands("did not answer") as own:
        own.ping()
        channel = connection.default_channel
        for pool in (own.connection_pool, channel.pool, channel.client.connection_pool):
            assert pool.max_connections == 5
            made: Any = pool.make_connection()
            assert (made.socket_timeout, made.health_check_interval) == (7, 25)
            if pool is own.connection_pool or made.repr_pieces()[0][0] != "path":  # kombu drops it for sockets
                assert made.socket_connect_timeout == 3
        seen = [(one["resp"], one["db"]) for one in client.client_list() if one["name"] == "shop"]
    broker.close()
    assert len(seen) >= 2
    assert set(seen) == {("2", "3")}


def test_both_sides_send_keepalives(server: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux sends the first one after two hours if nobody asks for an earlier one."""
    url = f"redis://:{ENCODED}@{server['tcp']}/3"
    broker = Broker(url)
    with app_of(url, monkeypatch).connection() as connection, broker.commands("did not answer") as own:
        for client in (own, connection.default_channel.client):
            made: Any = client.connection_pool.get_connection()
            assert made._sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert made._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
            client.connection_pool.release(made)
    broker.close()


# What redis-py says, which Celery shows, and what clipqueue says.
IN_OUR_WORDS = {
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not trusted",
    "invalid username-password": "it refuses the user or the password in REDIS_URL",
}


@pytest.mark.parametrize(
    ("spelling", "reason"),
    [
        ("rediss://:{pw}@{tls}/3", "CERTIFICATE_VERIFY_FAILED"),
        ("rediss://:{pw}@{misnamed}/3?" + CA, "CERTIFICATE_VERIFY_FAILED"),
        *[
            (f"rediss://:{{pw}}@{{misnamed}}/3?ssl_check_hostname={value}&{CA}", "CERTIFICATE_VERIFY_FAILED")
            for value in ("true", "True", "1", "yes", "on", "")
        ],
        ("rediss://:{pw}@{tls}/3?ssl_cert_reqs=optional", "CERTIFICATE_VERIFY_FAILED"),
        ("redis://:wrong@{tcp}/3", "invalid username-password"),
    ],
)
def test_what_one_side_refuses_at_the_handshake_the_other_does_too(
    spelling: str, reason: str, server: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = spelling.format(pw=ENCODED, **server)
    with EmbeddingClient(url) as own, pytest.raises(BrokerUnavailable, match=IN_OUR_WORDS[reason]):
        own.enqueue("a", "http://host/a.jpg")
    with app_of(url, monkeypatch).connection() as connection, pytest.raises(OperationalError, match=reason):
        connection.ensure_connection(max_retries=1, interval_start=0)
