"""Whether and where telemetry is served."""

from __future__ import annotations

import importlib.util

import pytest

from producer.contract.errors import ConfigurationError
from producer.telemetry.server import TelemetryServer
from producer.telemetry.settings import TelemetrySettings


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ("127.0.0.1", 0, True)),
        ({"CLIPQUEUE_METRICS_PORT": ""}, ("127.0.0.1", 0, True)),
        ({"CLIPQUEUE_METRICS_PORT": "9808", "CLIPQUEUE_METRICS_HOST": "::"}, ("::", 9808, True)),
        ({"PORT": "3000"}, ("127.0.0.1", 3000, False)),
        ({"PORT": "3000", "CLIPQUEUE_METRICS_PORT": "9808"}, ("127.0.0.1", 9808, True)),
        ({"PORT": "3000", "CLIPQUEUE_METRICS_PORT": "0"}, ("127.0.0.1", 0, True)),
    ],
)
def test_the_port_is_ours_or_the_platforms(environ: dict[str, str], expected: tuple[str, int, bool]) -> None:
    assert TelemetrySettings.from_env(environ) == TelemetrySettings(*expected)


def test_the_api_has_its_own_use_of_the_platforms_port() -> None:
    assert TelemetrySettings.from_env({"PORT": "3000"}, reads_platform_port=False).port == 0


@pytest.mark.parametrize("value", ["65536", "-1", "80a", "1e3", "\N{ARABIC-INDIC DIGIT ONE}", " 80"])
@pytest.mark.parametrize("name", ["CLIPQUEUE_METRICS_PORT", "PORT"])
def test_what_is_no_port_is_an_error(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be a number from 0 to 65535"):
        TelemetrySettings.from_env({name: value})


@pytest.fixture
def _without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producer.telemetry.settings.find_spec", lambda name: importlib.util.find_spec(f"no_{name}"))


@pytest.mark.usefixtures("_without_extra")
def test_a_missing_extra_is_an_error_if_the_port_is_ours(caplog: pytest.LogCaptureFixture) -> None:
    assert not TelemetrySettings().is_on()
    with pytest.raises(ConfigurationError, match=r"CLIPQUEUE_METRICS_PORT: .* extra 'metrics': run pip install"):
        TelemetrySettings(port=9808, is_asked_for=True).is_on()
    assert not caplog.records
    assert not TelemetrySettings(port=3000).is_on()
    assert "PORT: serving on port 3000 needs clipqueue's extra 'metrics'" in caplog.text


def test_a_port_in_use_is_an_error_if_the_port_is_ours(caplog: pytest.LogCaptureFixture) -> None:
    first = TelemetryServer("127.0.0.1", 0, registries={}, live=str, ready=str)
    first.start()
    try:
        second = TelemetryServer("127.0.0.1", first.port, registries={}, live=str, ready=str)
        with pytest.raises(ConfigurationError, match="CLIPQUEUE_METRICS_PORT: metrics cannot be served"):
            TelemetrySettings(port=first.port, is_asked_for=True).start(second)
        assert not caplog.records
        TelemetrySettings(port=first.port).start(second)
        assert "this process continues" in caplog.text
    finally:
        first.close()
