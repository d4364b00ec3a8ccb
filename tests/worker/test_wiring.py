"""The settings reach the parts that they configure, and the model's speed limits the images in flight."""

from __future__ import annotations

import logging
import sys
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest

from producer.client.broker import Broker
from tests.support import fake_encoder
from tests.support.fake_encoder import EncoderConfig, OpenClipEncoder
from worker.decode.limits import DecodeLimits
from worker.decode.pool import ProcessLimits
from worker.encode.load import Load
from worker.errors import ModelUnavailable
from worker.fetch.dns import NameserverResolver
from worker.fetch.fetcher import FetchRules
from worker.fetch.target import parse_target
from worker.settings import Settings
from worker.spec import PreprocessSpec
from worker.wiring import _load_model, _load_texts, build_decoder, build_fetcher, fit_load, log_target, refuse_cluster


@pytest.mark.parametrize(
    ("per_image_s", "fits"),
    [(0.001, 32), (0.3, 32), (0.8, 12), (5.0, 2), (60.0, 1)],
)
def test_a_slow_model_gets_fewer_images_in_flight(
    per_image_s: float, fits: int, caplog: pytest.LogCaptureFixture
) -> None:
    """With more, every image would time out. The log says so."""
    settings = Settings(concurrency=32, encode_s=20.0, visibility_timeout_s=100)
    encoder: Any = OpenClipEncoder(EncoderConfig("fake"))
    load = fit_load(settings, encoder, per_image_s)
    assert load.concurrency == fits
    assert load.batch_size == max(1, fits // 2)
    assert ("CLIPQUEUE_CONCURRENCY" in caplog.text) is (fits < 32)


def test_no_batch_is_larger_than_the_one_that_the_precision_was_measured_with() -> None:
    encoder: Any = OpenClipEncoder(EncoderConfig("fake"))
    encoder.batch_size = 5
    assert fit_load(Settings(), encoder, 0.001).batch_size == 5


def test_settings_reach_the_fetcher_and_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests of each room show what a setting does."""
    values: dict[str, Any] = {
        "fetch_total_s": 11,
        "fetch_connect_s": 1.25,
        "fetch_read_s": 2.5,
        "fetch_dns_s": 3.5,
        "fetch_max_bytes": 1234,
        "fetch_user_agent": "test/1",
        "fetch_allow_downgrade": True,
        "fetch_per_host": 3,
        "fetch_proxy": "http://127.0.0.1:3128",
        "fetch_headers": "cdn.test: X-Key: k",
        "max_pixels": 999,
        "max_side": 77,
        "max_frames": 5,
        "max_scans": 6,
        "allow_truncated": True,
        "decode_processes": 3,
        "decode_cpu_s": 2,
        "decode_memory_bytes": 300_000_000,
        "decode_s": 9,
    }
    for name, value in values.items():
        monkeypatch.setenv(f"CLIPQUEUE_{name.upper()}", str(value))
    settings = Settings()
    fetcher = build_fetcher(settings)
    assert fetcher._rules == FetchRules(11, 1.25, 2.5, 1234, "test/1", allow_downgrade=True)
    assert fetcher._host_limits._per_host == 3
    assert fetcher._host_headers.of(parse_target("https://cdn.test/a.jpg")) == {"X-Key": "k"}
    assert fetcher._adapter._proxies == dict.fromkeys(("http", "https"), "http://127.0.0.1:3128")
    assert fetcher._adapter._guard.resolve._seconds == 3.5  # type: ignore[attr-defined]
    decoder = build_decoder(settings, PreprocessSpec(8, 8))
    assert decoder._config["limits"] == asdict(DecodeLimits(999, 77, 5, 6, allow_truncated=True))
    assert decoder._limits == ProcessLimits(2, 300_000_000, 9.0)
    assert decoder.processes == 3
    monkeypatch.setenv("CLIPQUEUE_FETCH_NAMESERVERS", "127.0.0.1:5353")
    assert isinstance(build_fetcher(Settings())._adapter._guard.resolve, NameserverResolver)


@pytest.mark.parametrize(
    ("wanted", "concurrency", "threads", "fits"), [(32, 64, 1, 32), (32, 64, 2, 16), (8, 64, 2, 8), (32, 1, 4, 1)]
)
def test_a_batch_holds_at_most_half_of_the_images_in_flight(
    wanted: int, concurrency: int, threads: int, fits: int
) -> None:
    assert Load(wanted, concurrency).fit(0.001, threads).batch_size == fits


@pytest.mark.parametrize(
    ("uri", "warned"), [("mongodb://host", True), ("mongodb://host/?w=1", True), ("mongodb://host/photos", False)]
)
def test_the_log_says_where_the_results_go(
    uri: str, warned: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MONGODB_URI", uri)
    with caplog.at_level(logging.INFO):
        log_target(Settings(collection="pictures"), "photos")
    assert "results go to the collection pictures of the MongoDB database photos" in caplog.text
    assert ("MONGODB_URI names no database, so the database is photos" in caplog.text) is warned


@pytest.mark.parametrize("serve", ["images,queries", "images"])
def test_a_model_without_a_tokenizer_embeds_images_and_answers_no_queries(
    serve: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Some tokenizers come from a hub. A worker that only answers queries does not start without it."""

    class Encoder(OpenClipEncoder):
        @property
        def texts(self) -> Any:
            raise ModelUnavailable("its tokenizer cannot be loaded")

        @texts.setter
        def texts(self, value: Any) -> None:
            pass

    monkeypatch.setitem(
        sys.modules, "worker.encode.open_clip", SimpleNamespace(EncoderConfig=EncoderConfig, OpenClipEncoder=Encoder)
    )
    settings = Settings.model_validate({"serve": serve})
    model = _load_model(settings)
    assert model.texts is None
    assert ("answers no queries" in caplog.text) is settings.serves_queries
    with pytest.raises(ModelUnavailable):
        _load_texts(settings)


def test_the_slack_for_queries_limits_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "worker.encode.open_clip", fake_encoder)
    monkeypatch.setattr(OpenClipEncoder, "warm_up", lambda _: 0.01)
    model = _load_model(Settings.model_validate({"query_slack_ms": 40}))
    assert model.slack.limit(32) == 32
    model.slack.note_query()
    assert model.slack.limit(32) == 4


def test_a_worker_that_starts_without_redis_says_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    """Celery, which then waits for Redis, repeats the library's error."""
    refuse_cluster(Broker("redis://:hunter2@127.0.0.1:1/0"))
    (record,) = caplog.records
    assert "Redis at 127.0.0.1:1 cannot be used: the connection was refused: check that it runs" in record.message
    assert record.message.endswith("; the worker starts, and tries again")
    assert "hunter2" not in record.message
