"""What REDIS_URL may say. tests/worker/broker/test_redis_url.py connects with each spelling."""

from __future__ import annotations

import pytest

from producer.contract.errors import ConfigurationError
from producer.contract.redis_url import parse_redis_url
from worker.settings import SettingsError, load_settings

SENTINEL = "sentinel://:hunter2@a:26379,b:26380/3?master_name=mymaster"
REFUSED = [
    ("nonsense", "must start with redis://"),
    ("", "must start with redis://"),
    ("user:hunter2@host", "must start with redis://"),
    ("http://user:hunter2@host", "must start with redis://"),
    ("redis+cluster://:hunter2@host", "Redis Cluster is not supported"),
    ("rediss+cluster://:hunter2@host", "Redis Cluster is not supported"),
    ("redis://:hunter2@host?cluster", "Redis Cluster is not supported"),
    ("redis://:hunter2@host?cluster=true", "Redis Cluster is not supported"),
    ("redis://:hunter2@host:port/0", "host or port cannot be read"),
    ("redis://:hunter2@host:70000/0", "host or port cannot be read"),
    ("redis://:hunter2@[::1/0", "host or port cannot be read"),
    ("redis://:hunter2\u2100@host/0", "host or port cannot be read"),
    ("redis://:hunter2#@host/0", "not percent-encoded"),
    ("redis://:hunter2/x@host/0", "not percent-encoded"),
    ("redis://:hunter2?x=1@host/0", "not percent-encoded"),
    ("redis://:123?hunter2@host/0", "not percent-encoded"),
    ("redis://:hunter2@host/images", "number of a database"),
    ("redis://:hunter2@host/1/2", "number of a database"),
    ("redis://:hunter2@host/-1", "number of a database"),
    ("redis://:hunter2@host/0?db=3", "two databases"),
    ("redis://:hunter2@host?db=x", "the option db must be a whole number"),
    ("redis://:hunter2@host?db=1&db=2", "the option db appears twice"),
    ("redis://:hunter2@host?virtual_host=1", "virtual_host is not supported here; write db"),
    ("redis://:hunter2@host?database=1", "database is not supported here; write db"),
    ("redis://:hunter2@host?no_such=1", "no_such is not supported here; remove it"),
    ("redis://:hunter2@host?hunter2%20=1", "with an unreadable name"),
    ("redis://:hunter2@host?keyPrefix=x:", "keyPrefix is not supported here"),
    ("redis://:hunter2@host?decode_responses=1", "decode_responses is not supported here"),
    ("redis://:hunter2@host?timeout=2", "timeout is not supported here; write socket_timeout"),
    ("redis://:hunter2@host?ssl=true", "the option ssl needs rediss:// instead of redis://"),
    ("rediss://:hunter2@host?ssl=false", "the option ssl contradicts rediss://"),
    ("unix:///path?ssl=true", "ssl is not supported here"),
    ("redis://:hunter2@host?ssl_cert_reqs=none", "ssl_cert_reqs is not supported here; it needs rediss://"),
    ("redis://:hunter2@host?master_name=m", "master_name is not supported here; it needs sentinel://"),
    ("redis://:hunter2@host?protocol=4", "protocol must be 2 or 3"),
    ("redis://:hunter2@host?socket_timeout=0", "socket_timeout must be a number of seconds"),
    ("redis://:hunter2@host?socket_timeout=nan", "socket_timeout must be a number of seconds"),
    ("redis://:hunter2@host?socket_timeout=soon", "socket_timeout must be a number of seconds"),
    ("redis://:hunter2@host?socket_keepalive=maybe", "socket_keepalive must be true or false"),
    ("redis://:hunter2@host?max_connections=0", "max_connections must be at least 1"),
    ("redis://:hunter2@host?client_name=two%20words", "client_name may contain no spaces"),
    ("redis://:hunter2@a,b/0", "several hosts"),
    ("redis://:hunter2@a/0;redis://b/0", "number of a database"),
    ("rediss://:hunter2@host?ssl_cert_reqs=perhaps", "ssl_cert_reqs must be none, optional or required"),
    ("rediss://:hunter2@host?ssl_check_hostname=perhaps", "ssl_check_hostname must be true or false"),
    (
        "rediss://:hunter2@host?ssl_ca_certs=/no/such/ca.pem",
        "ssl_ca_certs names a file that cannot be read: No such file",
    ),
    ("rediss://:hunter2@host?ssl_certfile=/no/such/c.pem", "ssl_certfile names a file that cannot be read"),
    ("rediss://:hunter2@host?ssl_keyfile=/dev/null", "ssl_keyfile needs ssl_certfile"),
    ("rediss://:hunter2@host?ssl_ca_path=/no/such", "ssl_ca_path is not a folder"),
    ("rediss://:hunter2@host?ssl_min_version=9", "ssl_min_version must be TLSv1.2"),
    ("rediss://:hunter2@host?ssl_validate_ocsp=true", "ssl_validate_ocsp is not supported here"),
    ("unix://:hunter2@host/path", "names no socket"),
    ("unix://:hunter2@", "names no socket"),
    ("unix:///path?db=1&virtual_host=2", "two databases"),
    ("unix:///path?socket_keepalive=1", "socket_keepalive is not supported here"),
    ("sentinel://:hunter2@host:26379/0", "master_name is missing"),
    ("sentinel://:hunter2@a;sentinel://:hunter3@b?master_name=m", "different logins"),
    ("sentinel://:hunter2@a/1;sentinel://b/2?master_name=m", "different databases"),
    ("sentinel://:hunter2@a?master_name=m;sentinel://b?master_name=n", "different options"),
    ("sentinel://:hunter2@a:26379;b:26379?master_name=m", "must start with sentinel://"),
]


@pytest.mark.parametrize(("url", "reason"), REFUSED)
def test_what_one_side_cannot_do_all_refuse_by_name_and_without_the_password(
    url: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL is invalid") as refused:
        parse_redis_url(url)
    assert reason in str(refused.value)
    assert "hunter" not in str(refused.value)
    assert refused.value.__suppress_context__
    if url:  # an empty variable counts as not set
        monkeypatch.setenv("REDIS_URL", url)
        with pytest.raises(SettingsError, match="REDIS_URL") as exited:
            load_settings()
        assert reason in str(exited.value)
        assert "hunter" not in str(exited.value)


@pytest.mark.parametrize(
    "url",
    [
        SENTINEL,
        "sentinel://:hunter2@a:26379/3?master_name=mymaster;sentinel://b:26380",
        "sentinel://a;sentinel://:hunter2@b:26380/3?master_name=mymaster",
        "sentinel://:hunter2@a/3;sentinel://:hunter2@b:26380/3?master_name=mymaster",
    ],
)
def test_sentinels_are_separated_by_commas_or_are_celerys_list_of_urls(url: str) -> None:
    assert parse_redis_url(url) == parse_redis_url(SENTINEL)
    assert parse_redis_url(url).addresses == (("a", 26379), ("b", 26380))


def test_tls_of_a_sentinel_url_is_for_redis_and_the_sentinels() -> None:
    assert parse_redis_url(SENTINEL).tls is None
    both = parse_redis_url(f"{SENTINEL}&ssl_cert_reqs=none")
    assert both.tls == both.sentinel_tls == parse_redis_url("rediss://a?ssl_cert_reqs=none").tls
    assert parse_redis_url(f"{SENTINEL}&ssl=true").tls == parse_redis_url("rediss://a").tls
    assert parse_redis_url(f"{SENTINEL}&ssl=true&sentinel_ssl=false").sentinel_tls is None


def test_nothing_that_is_shown_holds_a_password() -> None:
    url = parse_redis_url(f"{SENTINEL}&sentinel_username=u&sentinel_password=hunter3&ssl=true&ssl_password=hunter4")
    assert url.secrets == ("hunter2", "hunter3", "hunter4")
    assert "hunter" not in repr(url) + url.shown
    assert url.shown == "mymaster (sentinels a:26379, b:26380)"
    assert parse_redis_url("redis://[::1]:7000").shown == "[::1]:7000"
    assert parse_redis_url("unix:///run/redis.sock").shown == "/run/redis.sock"
