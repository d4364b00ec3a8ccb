"""What is flushed, and for how long. With the real libraries: tests/worker/lifecycle/test_broken_workers.py."""

from __future__ import annotations

import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

from worker.telemetry.flush import flush_telemetry

if TYPE_CHECKING:
    import pytest


def test_what_is_not_there_is_not_imported() -> None:
    code = (
        "import sys; from worker.telemetry.flush import flush_telemetry; flush_telemetry(); "
        "print({name.partition('.')[0] for name in sys.modules} & {'sentry_sdk', 'opentelemetry'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_both_are_flushed_and_one_that_hangs_or_fails_does_not_hold_the_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gate, flushed = threading.Event(), []

    def fail(timeout: float) -> None:
        flushed.append(timeout)
        raise OSError

    def hang(timeout_ms: int) -> None:
        flushed.append(timeout_ms)
        gate.wait()

    provider = SimpleNamespace(force_flush=hang)
    monkeypatch.setitem(sys.modules, "sentry_sdk", SimpleNamespace(flush=fail))
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", SimpleNamespace(get_tracer_provider=lambda: provider))
    flush_telemetry(within_s=0.1)
    assert sorted(flushed) == [0.1, 100]
    assert "telemetry was not sent: OSError" in caplog.text
    gate.set()


def test_a_provider_that_collects_nothing_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", SimpleNamespace(get_tracer_provider=object))
    flush_telemetry(within_s=5)
