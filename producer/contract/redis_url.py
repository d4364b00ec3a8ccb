"""Reads REDIS_URL, once for the client, the commands and the workers: redis-py and kombu read the same URL differently.

What one of them cannot do, all of them refuse, by name. Errors repeat no value: it may be part of a password.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

from .errors import ConfigurationError
from .redis_options import CLUSTER, CONNECTION_OPTIONS, TLS_OPTIONS, check_tls, read_options

if TYPE_CHECKING:
    from collections.abc import Mapping

Address = tuple[str, int]

_FORMAT = "redis://:password@host:6379/0 (or rediss:// for TLS)"
_KINDS = {"redis": "redis", "rediss": "rediss", "unix": "unix", "redis+socket": "unix", "sentinel": "sentinel"}
_DEFAULT_PORTS = {"redis": 6379, "rediss": 6379, "sentinel": 26379}

_UNREADABLE = "its host or port cannot be read; is a special character not percent-encoded?"


@dataclass(frozen=True)
class RedisUrl:
    """Where Redis is, and how to connect to it.

    Attributes:
        addresses: Host and port of Redis, or of each sentinel; empty for a Unix socket.
        path: The path of a Unix socket, else empty.
        db: The number of the database.
        username: None if the URL names none.
        password: None if the URL names none.
        tls: redis-py's arguments `ssl_*`, or None without TLS. `ssl_cert_reqs` and `ssl_check_hostname` are always set.
        options: redis-py's arguments among `CONNECTION_OPTIONS` that the URL names.
        master_name: The name of the primary that the sentinels watch; empty without Sentinel.
        min_other_sentinels: How many other sentinels a sentinel must know to be believed.
        sentinel_login: `username` and `password` for the sentinels, as far as the URL names them.
        sentinel_tls: As `tls`, for the sentinels.
    """

    addresses: tuple[Address, ...] = ()
    path: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Mapping[str, Any] | None = field(default=None, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)
    master_name: str = ""
    min_other_sentinels: int = 0
    sentinel_login: Mapping[str, str] = field(default_factory=dict, repr=False)
    sentinel_tls: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def shown(self) -> str:
        """What messages call this Redis: `host:port`, a path, or the primary's name and its sentinels."""
        hosts = ", ".join(show_address(address) for address in self.addresses)
        return f"{self.master_name} (sentinels {hosts})" if self.master_name else self.path or hosts

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that no message may repeat."""
        found = (self.password, self.sentinel_login.get("password"), (self.tls or {}).get("ssl_password"))
        return tuple(secret for secret in found if secret)


def show_address(address: Address) -> str:
    """Return `host:port`, with brackets around an IPv6 address."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_redis_url(text: str) -> RedisUrl:
    """Read a URL of Redis.

    Args:
        text: `redis://user:password@host:6379/0`, `rediss://` for TLS, `unix:///path` or `redis+socket:///path`, or
            `sentinel://host:26379,host2:26379/0?master_name=mymaster`, or several such URLs separated by `;`.

    Raises:
        ConfigurationError: The URL cannot be read, or asks for something that not every side can do.
    """
    try:
        return _parse(text.strip())
    except ValueError as exc:
        raise ConfigurationError(f"REDIS_URL is invalid: {exc}; expected format: {_FORMAT}") from None


def _parse(text: str) -> RedisUrl:
    kind = _kind_of(text)
    parts = _join([_split(one) for one in (text.split(";") if kind == "sentinel" else [text])])
    options = read_options(parts.query, kind)
    username, password = _login(parts.netloc, options)
    tls = _tls(options) if kind == "rediss" or options.get("ssl", bool(TLS_OPTIONS & options.keys())) else None
    return RedisUrl(
        addresses=() if kind == "unix" else _addresses(parts.netloc, kind),
        path=_socket(parts) if kind == "unix" else "",
        db=_database("" if kind == "unix" else parts.path, options),
        username=username,
        password=password,
        tls=tls,
        options={name: value for name, value in options.items() if name in CONNECTION_OPTIONS},
        master_name=_master_name(options) if kind == "sentinel" else "",
        min_other_sentinels=options.get("min_other_sentinels", 0),
        sentinel_login=_sentinel_login(options),
        sentinel_tls=tls if kind == "sentinel" and options.get("sentinel_ssl", True) else None,
    )


def _kind_of(text: str) -> str:
    scheme, separator, _ = text.partition("://")
    if "cluster" in scheme.lower() and separator:
        raise ValueError(CLUSTER)
    if not separator or scheme.lower() not in _KINDS:
        raise ValueError("it must start with redis://, rediss://, unix://, redis+socket:// or sentinel://")
    return _KINDS[scheme.lower()]


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
    except ValueError:  # its text may repeat the password
        raise ValueError(_UNREADABLE) from None
    # urlsplit ends the password at a raw `#`, `?` or `/`. The rest of the URL then has the `@`.
    if parts.fragment or "@" in parts.path + parts.query:
        raise ValueError("a special character in its user name or password is not percent-encoded")
    return parts


def _join(urls: list[SplitResult]) -> SplitResult:
    """Return one URL for Celery's list of sentinels. What more than one of them states must be the same."""
    if any(one.scheme != urls[0].scheme for one in urls):
        raise ValueError("each of its URLs must start with sentinel://")
    logins = [one.netloc.rpartition("@")[0] for one in urls]
    hosts = ",".join(one.netloc.rpartition("@")[2] for one in urls)
    login = _only(logins, "logins")
    return SplitResult(
        urls[0].scheme,
        f"{login}@{hosts}" if login else hosts,
        _only(["" if one.path == "/" else one.path for one in urls], "databases"),
        _only([one.query for one in urls], "options"),
        "",
    )


def _only(values: list[str], what: str) -> str:
    found = {value for value in values if value}
    if len(found) > 1:
        raise ValueError(f"its sentinel URLs have different {what}")
    return found.pop() if found else ""


def _login(netloc: str, options: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the user name and the password. As in redis-py, those before the `@` win over those in the query."""
    username, _, password = netloc.rpartition("@")[0].partition(":")
    return unquote(username) or options.get("username"), unquote(password) or options.get("password")


def _addresses(netloc: str, kind: str) -> tuple[Address, ...]:
    hosts = netloc.rpartition("@")[2].split(",")
    if len(hosts) > 1 and kind != "sentinel":
        raise ValueError("it names several hosts; only sentinel:// may")
    return tuple(_address(host, _DEFAULT_PORTS[kind]) for host in hosts)


def _address(text: str, default_port: int) -> Address:
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port
    except ValueError:
        raise ValueError(_UNREADABLE) from None
    return unquote(parts.hostname or "localhost"), default_port if port is None else port


def _socket(parts: SplitResult) -> str:
    if parts.netloc.rpartition("@")[2] or len(parts.path) <= 1:
        raise ValueError("it names no socket; write unix:///path/of/redis.sock")
    return unquote(parts.path)


def _database(path: str, options: Mapping[str, Any]) -> int:
    number = re.fullmatch(r"(?:/([0-9]{1,9})?/?)?", unquote(path))
    if number is None:
        raise ValueError("its path must be the number of a database, such as /0")
    stated = [int(number[1])] if number[1] else []
    stated += [options[name] for name in ("db", "virtual_host") if name in options]
    if len(set(stated)) > 1:
        raise ValueError("it names two databases")
    return stated[0] if stated else 0


def _tls(options: Mapping[str, Any]) -> dict[str, Any]:
    tls = {name: value for name, value in options.items() if name in TLS_OPTIONS}
    if "ssl_keyfile" in tls and "ssl_certfile" not in tls:
        raise ValueError("the option ssl_keyfile needs ssl_certfile")
    # Both libraries have their own defaults, and kombu's does not verify the certificate.
    tls.setdefault("ssl_cert_reqs", ssl.CERT_REQUIRED)
    # Python refuses to check a name without a certificate.
    tls["ssl_check_hostname"] = tls.get("ssl_check_hostname", True) and tls["ssl_cert_reqs"] != ssl.CERT_NONE
    check_tls(tls)
    return tls


def _master_name(options: Mapping[str, Any]) -> str:
    if not (name := options.get("master_name")):
        raise ValueError("the option master_name is missing: sentinel://host:26379/0?master_name=mymaster")
    return str(name)


def _sentinel_login(options: Mapping[str, Any]) -> dict[str, str]:
    names = ("username", "password")
    return {name: options[f"sentinel_{name}"] for name in names if f"sentinel_{name}" in options}
