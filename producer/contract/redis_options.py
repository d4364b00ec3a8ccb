"""The options in the query of REDIS_URL: those that clipqueue takes, and those of other programs that it ignores."""

from __future__ import annotations

import re
import socket
import ssl
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Linux's default is to look after two hours whether the other side still exists.
KEEPALIVE: Mapping[int, int] = {
    getattr(socket, name): value
    for name, value in {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}.items()
    if hasattr(socket, name)
}
_TRUE = ("1", "t", "true", "y", "yes", "on")
_FALSE = ("0", "f", "false", "n", "no", "off")
CLUSTER = "a Redis Cluster is not supported; use a Redis with one primary, with Sentinel or without"


def _flag(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError("must be true or false")
    return text.lower() in _TRUE


def _no_tls(text: str) -> bool:
    if _flag(text):
        raise ValueError("needs rediss:// instead of redis://")
    return False


def _only_tls(text: str) -> bool:
    if not _flag(text):
        raise ValueError("contradicts rediss://")
    return True


def _natural(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError("must be a whole number")
    return int(text)


def _positive(text: str) -> int:
    if not (number := _natural(text)):
        raise ValueError("must be at least 1")
    return number


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:  # noqa: PLR2004  (also refuses NaN)
        raise ValueError("must be a number of seconds above 0, at most 3600")
    return seconds


def _protocol(text: str) -> int:
    if text not in {"2", "3"}:
        raise ValueError("must be 2 or 3")
    return int(text)


def _client_name(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]+", text):  # Redis' rule
        raise ValueError("may contain no spaces")
    return text


def _cert_reqs(text: str) -> ssl.VerifyMode:
    """Read redis-py's `none`, Celery's `CERT_NONE`, Python's `ssl.CERT_NONE` or `VerifyMode.CERT_NONE`, or a number."""
    name = text.lower().rpartition(".")[2].removeprefix("cert_")
    modes = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
    modes |= {str(mode.value): mode for mode in ssl.VerifyMode}
    if name not in modes:
        raise ValueError("must be none, optional or required")
    return modes[name]


def _tls_version(text: str) -> ssl.TLSVersion:
    try:
        version = ssl.TLSVersion(int(text)) if text.isdigit() else ssl.TLSVersion[text.replace(".", "_")]
    except (KeyError, ValueError):
        raise ValueError("must be TLSv1.2 or TLSv1.3") from None
    return version


def _readable(text: str) -> str:
    try:
        with Path(text).open("rb"):
            return text
    except OSError as exc:
        raise ValueError(f"names a file that cannot be read: {exc.strerror}") from None


def _folder(text: str) -> str:
    if not Path(text).is_dir():
        raise ValueError("is not a folder")
    return text


TIMEOUTS = ("socket_timeout", "socket_connect_timeout")
_ALL: Mapping[str, Callable[[str], Any]] = {
    "db": _natural,
    "username": str,
    "password": str,
    "protocol": _protocol,
    **dict.fromkeys(TIMEOUTS, _seconds),
    "health_check_interval": _positive,
    "max_connections": _positive,
    "client_name": _client_name,
}
_TCP: Mapping[str, Callable[[str], Any]] = {**_ALL, "socket_keepalive": _flag}
_TLS: Mapping[str, Callable[[str], Any]] = {
    "ssl_cert_reqs": _cert_reqs,
    "ssl_check_hostname": _flag,
    "ssl_ca_certs": _readable,
    "ssl_ca_path": _folder,
    "ssl_ca_data": str,
    "ssl_certfile": _readable,
    "ssl_keyfile": _readable,
    "ssl_password": str,
    "ssl_min_version": _tls_version,
    "ssl_ciphers": str,
}
_SENTINEL: Mapping[str, Callable[[str], Any]] = {
    "master_name": str,
    "min_other_sentinels": _natural,
    "sentinel_username": str,
    "sentinel_password": str,
    "ssl": _flag,
    "sentinel_ssl": _flag,
}
_OPTIONS: Mapping[str, Mapping[str, Callable[[str], Any]]] = {
    "redis": {**_TCP, "ssl": _no_tls},
    "rediss": {**_TCP, **_TLS, "ssl": _only_tls},
    "unix": {**_ALL, "virtual_host": _natural},  # Celery's name for `db`
    "sentinel": {**_TCP, **_TLS, **_SENTINEL},
}
CONNECTION_OPTIONS = frozenset(_TCP) - {"db", "username", "password"}
TLS_OPTIONS = frozenset(_TLS)

# Options of other clients that change how these connect and wait, but not what they connect to. Platforms tell their
# users to add some of them: Railway `?family=0`.
_HARMLESS = frozenset({
    # ioredis
    *("family", "connectTimeout", "commandTimeout", "keepAlive", "noDelay", "connectionName", "lazyConnect"),
    *("enableReadyCheck", "enableOfflineQueue", "enableAutoPipelining", "maxRetriesPerRequest", "autoResubscribe"),
    *("autoResendUnfulfilledCommands", "showFriendlyErrorStack", "allowUsernameInURI", "maxLoadingRetryTime"),
    # go-redis
    *("dial_timeout", "read_timeout", "write_timeout", "pool_size", "pool_timeout", "pool_fifo", "min_idle_conns"),
    *("max_idle_conns", "max_active_conns", "conn_max_idle_time", "conn_max_lifetime", "max_retries"),
    *("min_retry_backoff", "max_retry_backoff"),
    # redis-py: clipqueue retries by its own rules
    "retry_on_timeout",
})  # fmt: skip
_ADVICE = {
    **dict.fromkeys(_TLS, "it needs rediss://"),
    **dict.fromkeys(_SENTINEL, "it needs sentinel://"),
    "timeout": "write socket_timeout",
    "database": "write db",
    "virtual_host": "write db",
}


def read_options(query: str, kind: str) -> dict[str, Any]:
    """Return the options of a URL's query, as redis-py's arguments.

    Args:
        query: The query. An option without a value is ignored, as redis-py and kombu do.
        kind: `redis`, `rediss`, `unix` or `sentinel`.

    Raises:
        ValueError: An option is unknown, appears twice, does not fit the kind, or has an unusable value.
    """
    if "cluster" in query.split("&"):
        raise ValueError(CLUSTER)
    pairs = [(name, value) for name, value in parse_qsl(query) if name not in _HARMLESS]
    name, count = max(Counter(name for name, _ in pairs).items(), key=lambda item: item[1], default=("", 0))
    if count > 1:
        raise ValueError(f"the option {_shown(name)} appears twice")
    return {name: _read(name, value, kind) for name, value in pairs if not _is_no_cluster(name, value)}


def check_tls(options: Mapping[str, Any]) -> None:
    """Check that OpenSSL can use the certificates, keys and ciphers. It would say so only at the first connection.

    Raises:
        ValueError: It cannot. The message names the option.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    places = {"ssl_ca_certs": "cafile", "ssl_ca_path": "capath", "ssl_ca_data": "cadata"}
    for name, argument in places.items():
        if value := options.get(name):
            _try(name, "holds no usable certificate", context.load_verify_locations, **{argument: value})
    if "ssl_ciphers" in options:
        _try("ssl_ciphers", "names no cipher", context.set_ciphers, options["ssl_ciphers"])
    if certificate := options.get("ssl_certfile"):
        # Without any password, OpenSSL would ask for one on the terminal.
        _try(
            "ssl_certfile",
            "and ssl_keyfile hold no usable certificate with its key, or ssl_password is wrong",
            context.load_cert_chain,
            certificate,
            options.get("ssl_keyfile"),
            options.get("ssl_password", ""),
        )


def _try(name: str, problem: str, load: Callable[..., Any], *args: Any, **options: Any) -> None:
    try:
        load(*args, **options)
    except (OSError, ValueError):  # SSLError is an OSError
        raise ValueError(f"the option {name} {problem}") from None


def _is_no_cluster(name: str, value: str) -> bool:
    if name == "cluster" and value.lower() not in _FALSE:
        raise ValueError(CLUSTER)
    return name == "cluster"


def _read(name: str, value: str, kind: str) -> Any:
    if (read := _OPTIONS[kind].get(name)) is None:
        advice = _ADVICE.get(name, "remove it")
        raise ValueError(f"the option {_shown(name)} is not supported here; {advice}")
    try:
        return read(value)
    except ValueError as exc:
        raise ValueError(f"the option {name} {exc}") from None


def _shown(name: str) -> str:
    """Return an option's name. Anything else there may be a part of a password that is not percent-encoded."""
    return name if re.fullmatch(r"[A-Za-z_]{1,40}", name) else "with an unreadable name"
