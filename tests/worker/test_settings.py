"""The settings: names, defaults, and the messages about invalid values."""

from __future__ import annotations

import ipaddress
import os

import pytest

from worker.settings import Settings, SettingsError, load_settings, parse_nameserver, parse_ports


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("CLIPQUEUE_", "CLIP_")) or name in ("REDIS_URL", "MONGODB_URI", "MONGO_URL"):
            monkeypatch.delenv(name)


def test_the_defaults_are_the_production_model_and_safe_limits() -> None:
    settings = load_settings()
    assert (settings.clip_model, settings.clip_pretrained) == ("ViT-B-32-quickgelu", "openai")
    assert settings.fetch_allow_networks == ()
    assert settings.fetch_ports == "80,443"
    assert settings.visibility_timeout_s + settings.restore_interval_s < 90


def test_connection_variables_have_the_platforms_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://r:1/0")
    monkeypatch.setenv("MONGO_URL", "mongodb://railway/db")
    assert (load_settings().redis_url, load_settings().mongodb_uri) == ("redis://r:1/0", "mongodb://railway/db")
    monkeypatch.setenv("MONGODB_URI", "mongodb://atlas/db")
    assert load_settings().mongodb_uri == "mongodb://atlas/db"


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Platforms and compose files pass variables without a value as empty ones."""
    monkeypatch.setenv("MONGODB_URI", "")
    monkeypatch.setenv("MONGO_URL", "mongodb://railway/db")
    monkeypatch.setenv("CLIPQUEUE_DEVICE", "")
    settings = load_settings()
    assert (settings.mongodb_uri, settings.device) == ("mongodb://railway/db", "auto")


def test_other_settings_are_read_from_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPQUEUE_COLLECTION", "photos")
    monkeypatch.setenv("CLIPQUEUE_FETCH_ALLOW_NETWORKS", "10.0.0.0/8, ::1/128")
    monkeypatch.setenv("CLIPQUEUE_CONCURRENCY", "64")
    settings = load_settings()
    assert (settings.collection, settings.concurrency) == ("photos", 64)
    assert settings.fetch_allow_networks == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128"))


@pytest.mark.parametrize(
    ("value", "images", "queries"),
    [
        (None, True, True),
        ("", True, True),
        ("images,queries", True, True),
        ("queries, images", True, True),
        ("images", True, False),
        ("queries", False, True),
    ],
)
def test_a_worker_serves_images_queries_or_both(
    value: str | None, images: bool, queries: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is not None:
        monkeypatch.setenv("CLIPQUEUE_SERVE", value)
    settings = load_settings()
    assert (settings.serves_images, settings.serves_queries) == (images, queries)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLIPQUEUE_SERVE", "none"),
        ("CLIPQUEUE_SERVE", "images,images"),
        ("CLIPQUEUE_QUERY_SLACK_MS", "0"),
        ("CLIPQUEUE_CONCURRENCY", "many"),
        ("CLIPQUEUE_CONCURRENCY", "0"),
        ("CLIPQUEUE_DEVICE", "tpu"),
        ("CLIPQUEUE_DEVICE", "cuda:-1"),
        ("CLIPQUEUE_DEVICE", "cpu:0"),
        ("CLIPQUEUE_PRECISION", "int8"),
        ("CLIPQUEUE_FETCH_PORTS", "http"),
        ("CLIPQUEUE_FETCH_PORTS", "0"),
        ("CLIPQUEUE_FETCH_PORTS", "90-80"),
        ("CLIPQUEUE_FETCH_ALLOW_NETWORKS", "10.0.0.1/8"),
        ("CLIPQUEUE_FETCH_NAMESERVERS", "dns.example.com"),
        ("CLIPQUEUE_FETCH_NAMESERVERS", "9.9.9.9:dns"),
        ("CLIPQUEUE_FETCH_PROXY", "proxy.internal:3128"),
        ("CLIPQUEUE_FETCH_PROXY", "socks5://proxy.internal"),
        ("CLIPQUEUE_FETCH_USER_AGENT", "two\r\nlines"),
        ("CLIPQUEUE_FETCH_USER_AGENT", " padded"),
        ("CLIPQUEUE_FETCH_PER_HOST", "0"),
        ("CLIPQUEUE_FETCH_ALLOW_DOWNGRADE", "perhaps"),
        ("CLIPQUEUE_DECODE_MEMORY_BYTES", "1000"),
        ("CLIPQUEUE_WEBHOOK_URL", "ftp://e.example/"),
        ("CLIPQUEUE_WEBHOOK_URL", "https://user:password@e.example/"),
        ("CLIPQUEUE_LOG_LEVEL", "loud"),
    ],
)
def test_an_invalid_value_names_its_variable(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        load_settings()


@pytest.mark.parametrize("device", ["auto", "cpu", "mps", "cuda", "cuda:0", "cuda:1", "cuda:15"])
def test_a_device_may_be_one_of_several_gpus(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPQUEUE_DEVICE", device)
    assert load_settings().device == device


def test_a_job_must_end_before_the_visibility_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPQUEUE_FETCH_TOTAL_S", "60")
    monkeypatch.setenv("CLIPQUEUE_DRAIN_S", "60")
    with pytest.raises(SettingsError, match="CLIPQUEUE_VISIBILITY_TIMEOUT_S"):
        load_settings()
    monkeypatch.setenv("CLIPQUEUE_VISIBILITY_TIMEOUT_S", "180")
    assert load_settings().fetch_total_s == 60


@pytest.mark.parametrize(
    "name",
    ["FETCH_TOTAL_S", "DECODE_S", "ENCODE_S", "STORE_S"],
)
def test_every_deadline_counts_against_the_visibility_timeout(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPQUEUE_VISIBILITY_TIMEOUT_S", "60")
    monkeypatch.setenv(f"CLIPQUEUE_{name}", str(getattr(load_settings(), name.lower()) + 3.1))
    with pytest.raises(SettingsError, match=f"CLIPQUEUE_{name}"):
        load_settings()


@pytest.mark.parametrize("stage", ["FETCH_TOTAL_S", "DECODE_S", "ENCODE_S", "STORE_S"])
def test_no_stage_may_take_longer_than_the_drain(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPQUEUE_VISIBILITY_TIMEOUT_S", "300")
    monkeypatch.setenv(f"CLIPQUEUE_{stage}", "41")
    with pytest.raises(SettingsError, match=rf"CLIPQUEUE_{stage} .* CLIPQUEUE_DRAIN_S"):
        load_settings()
    monkeypatch.setenv("CLIPQUEUE_DRAIN_S", "41")
    load_settings()


@pytest.mark.parametrize(
    ("text", "nameserver"),
    [
        ("9.9.9.9", ("9.9.9.9", 53)),
        (" 127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("2620:fe::fe", ("2620:fe::fe", 53)),
        ("[2620:fe::fe]", ("2620:fe::fe", 53)),
        ("[2620:fe::fe]:5353", ("2620:fe::fe", 5353)),
    ],
)
def test_a_name_server_is_an_address_with_an_optional_port(text: str, nameserver: tuple[str, int]) -> None:
    address, port = parse_nameserver(text)
    assert (str(address), port) == nameserver


def test_ports_are_numbers_or_ranges() -> None:
    assert parse_ports("80, 443,8000-8002") == (range(80, 81), range(443, 444), range(8000, 8003))


def test_every_setting_has_a_description() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
