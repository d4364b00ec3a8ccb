"""What spans say of a job, and that a worker without OpenTelemetry knows nothing of it."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

from worker.errors import HttpRefused, StoreUnavailable
from worker.telemetry import spans
from worker.telemetry.job_end import Attempt
from worker.telemetry.spans import current_trace_id, describe_run
from worker.telemetry.stages import StageTimes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

URL = "https://e.test/a.jpg?signature=secret"
MESSAGE = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
# Without the packages, as in an image of the worker. torch is not needed for it.
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys(("opentelemetry", "sentry_sdk")))
from worker.telemetry.sentry import hide_queries
from worker.telemetry.spans import current_trace_id
from worker.telemetry.stages import StageTimes
hide_queries()
times = StageTimes()
with times.stage("fetch"):
    pass
assert list(times.seconds) == ["fetch"] and current_trace_id({}) is None
assert not [name for name in sys.modules if name.startswith(("opentelemetry.", "sentry_sdk."))]
"""


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Collects the spans, whose provider is the global one for this test."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


def attempt() -> Attempt:
    return Attempt(image_id="photo", url=URL, task_id="t", enqueued_at_ms=0, attempts=1)


def finished(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def test_stages_have_no_spans_unless_the_run_has_one(exporter: InMemorySpanExporter) -> None:
    times = StageTimes()
    with times.stage("check"):
        pass
    unsampled = TracerProvider(sampler=ALWAYS_OFF).get_tracer("celery")
    with unsampled.start_as_current_span("run"), times.stage("fetch"):
        pass
    assert list(times.seconds) == ["check", "fetch"]
    assert exporter.get_finished_spans() == ()


def test_an_unexpected_error_is_named_without_its_text(exporter: InMemorySpanExporter) -> None:
    with trace.get_tracer("celery").start_as_current_span("run"):
        with pytest.raises(ValueError, match="secret"), StageTimes().stage("decode"):
            raise ValueError(f"cannot read {URL}")
        assert trace.get_current_span().is_recording(), "the run's span is current again"
    span = finished(exporter)["decode"]
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "ValueError")
    assert (span.attributes, span.events) == ({"error.type": "ValueError"}, ())


@pytest.mark.parametrize("broken", ["start_as_current_span", "__enter__", "__exit__"])
def test_a_broken_set_up_of_opentelemetry_fails_no_stage(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(broken)

    monkeypatch.setattr(spans, "_API", "broken_api")
    block = type("Block", (), {"__enter__": lambda _: None, "__exit__": lambda *_: None, broken: fail})
    tracer = SimpleNamespace(start_as_current_span=fail if broken[0] == "s" else lambda *_, **__: block())
    monkeypatch.setitem(sys.modules, "broken_api", SimpleNamespace(get_tracer=lambda _: tracer))
    with spans.stage_span("decode"):
        pass
    with pytest.raises(HttpRefused), spans.stage_span("fetch"):  # its span is None, so no error can be set
        raise HttpRefused(404, "answered 404")
    assert not spans.is_traced(), "it has no get_current_span"
    assert spans.current_trace_id(MESSAGE) is None
    describe_run(attempt().end("done"))


def test_a_requeue_is_no_error_and_a_failure_has_its_code(exporter: InMemorySpanExporter) -> None:
    for name, end in {
        "requeued": attempt().end("requeued", error=StoreUnavailable("away")),
        "failed": attempt().end("failed", error=HttpRefused(404, f"{URL} answered 404")),
    }.items():
        with trace.get_tracer("celery").start_as_current_span(name):
            describe_run(end)
    requeued, failed = finished(exporter)["requeued"], finished(exporter)["failed"]
    assert requeued.attributes is not None
    assert failed.attributes is not None
    assert requeued.status.status_code == StatusCode.UNSET
    assert requeued.attributes["clipqueue.requeue"] == "StoreUnavailable"
    assert failed.status.status_code == StatusCode.ERROR
    assert failed.attributes["error.type"] == "http_404"
    assert failed.attributes["url.full"] == "https://e.test/a.jpg"
    assert "secret" not in f"{failed.to_json()}{requeued.to_json()}"


def test_the_id_of_the_trace_is_that_of_the_current_span_or_of_the_message() -> None:
    assert current_trace_id(MESSAGE) == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert current_trace_id({}) is None
    with TracerProvider().get_tracer("celery").start_as_current_span("run") as span:
        assert current_trace_id(MESSAGE) == f"{span.get_span_context().trace_id:032x}"


def test_a_worker_without_the_packages_imports_nothing_of_them() -> None:
    """A process of its own, because this one has them."""
    subprocess.run([sys.executable, "-c", WITHOUT], check=True, timeout=60)
