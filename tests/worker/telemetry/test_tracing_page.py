"""The code of docs/tracing.md works as it is written: with OpenTelemetry and with Sentry, from Python and by hand."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
import uuid
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
import redis
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from producer import EmbeddingClient
from tests.support.envelopes import SentryServer
from tests.support.messages import hand_made_message
from tests.support.pictures import small_jpeg
from tests.support.servers import Answer, ImageServer
from tests.support.waiting import wait_for
from tests.support.workers import FAKE_MODEL, FAST_RETRIES, FakeWorker, start_fake_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from producer.local.stack import Stack

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "tracing.md").read_text()
ENQUEUE, OPENTELEMETRY, SENTRY = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
[SHELL] = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
[HEADERS] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
FAKE_MODEL_FIRST = """
import sys
from tests.support import fake_encoder
sys.modules["worker.encode.open_clip"] = fake_encoder
"""
# What nobody expects of a download; the text has the whole URL, as the errors of some libraries do.
UNEXPECTED = """
from worker.fetch.fetcher import HttpFetcher
fetch = HttpFetcher.fetch

def surprising_fetch(self, url):
    if "/unexpected" in url:
        fetch(self, url)
        raise RuntimeError(f"cannot read {url} nor {url.partition('127.0.0.1')[2]}")
    return fetch(self, url)

HttpFetcher.fetch = surprising_fetch
"""
SECRET = "X-Sig=0123456789secret"
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
STAGES = ["check", "fetch", "decode", "encode", "save"]


@pytest.fixture(scope="module")
def photos() -> Iterator[ImageServer]:
    server = ImageServer()
    server.add("/a.jpg", small_jpeg())
    server.add("/unexpected.jpg", small_jpeg())
    yield server
    server.close()


@pytest.fixture(scope="module")
def client(own: Stack) -> Iterator[EmbeddingClient]:
    """For the queue of the worker with the page's file for OpenTelemetry."""
    with EmbeddingClient(own.redis_url) as client:
        yield client


@pytest.fixture
def other_url(own: Stack, request: pytest.FixtureRequest) -> str:
    """A Redis database for the worker of one test."""
    return own.redis_url.removesuffix("0") + str(request.param)


@pytest.fixture(scope="module")
def state_of(own: Stack) -> Iterator[Callable[[str], str]]:
    """A function that waits for the result of an image, and returns its status."""
    with pymongo.MongoClient[dict[str, Any]](own.mongodb_uri) as mongo:
        images = mongo["clipqueue"]["images"]

        def state(image_id: str) -> str:
            query = {"_id": image_id, "embedding_job.status": {"$in": ["done", "failed"]}}
            document = wait_for(lambda: images.find_one(query), f"a result of {image_id}")
            return str(document["embedding_job"]["status"])

        yield state


def start_own_file(own: Stack, folder: Path, name: str, code: str, **env: str) -> FakeWorker:
    """Start `celery -A my_worker worker` with the user's file."""
    home = folder / name
    home.mkdir()
    (home / "my_worker.py").write_text(code)
    env |= {"PYTHONPATH": os.pathsep.join([str(home), str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return start_fake_worker(own, folder, name, env, app="my_worker")


def spans_in(log: str) -> list[dict[str, Any]]:
    """Return the spans that ConsoleSpanExporter has written between the lines of the log."""
    texts = re.findall(r"^\{\n.*?^\}$", log, re.MULTILINE | re.DOTALL)
    return [json.loads(text) for text in texts]


class Traced:
    """A worker whose spans are in its log."""

    def __init__(self, worker: FakeWorker) -> None:
        self.worker = worker

    def runs(self, image_id: str, count: int = 1) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Wait for the spans of `count` attempts; return each with those of its stages, by name."""

        def find() -> list[tuple[dict[str, Any], dict[str, Any]]]:
            spans = spans_in(self.worker.log)
            stages: defaultdict[str, dict[str, Any]] = defaultdict(dict)
            for span in spans:
                stages[span["parent_id"]][span["name"]] = span
            own = [span for span in spans if span["attributes"].get("clipqueue.image_id") == image_id]
            return [(run, dict(stages[run["context"]["span_id"]])) for run in own] if len(own) >= count else []

        return sorted(wait_for(find, f"the spans of {image_id}"), key=lambda one: str(one[0]["start_time"]))


def trace_of(span: dict[str, Any]) -> tuple[str, str | None]:
    parent = span["parent_id"]
    return span["context"]["trace_id"].removeprefix("0x"), parent and parent.removeprefix("0x")


@pytest.fixture(scope="module")
def traced(own: Stack, own_dir: Path) -> Traced:
    """A process of its own, because its environment has OpenTelemetry."""
    code = FAKE_MODEL_FIRST + OPENTELEMETRY
    return Traced(start_own_file(own, own_dir, "otel", code, OTEL_BSP_SCHEDULE_DELAY="50"))


@pytest.fixture(scope="module")
def backend() -> tuple[TracerProvider, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def test_a_trace_goes_from_the_backends_span_over_the_queue_to_the_store(
    traced: Traced,
    client: EmbeddingClient,
    photos: ImageServer,
    state_of: Callable[[str], str],
    backend: tuple[TracerProvider, InMemorySpanExporter],
) -> None:
    provider, exporter = backend
    with provider.get_tracer("backend").start_as_current_span("upload"):
        client.enqueue("done", f"{photos.url}/a.jpg?{SECRET}")
    assert state_of("done") == "done"
    [upload] = exporter.get_finished_spans()
    [(run, stages)] = traced.runs("done")
    context = upload.get_span_context()
    assert context is not None
    assert trace_of(run) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    assert (run["name"], run["kind"]) == ("run/clipqueue.embed_image", "SpanKind.CONSUMER")
    assert list(stages) == STAGES
    assert {trace_of(stage)[0] for stage in stages.values()} == {f"{context.trace_id:032x}"}
    assert {span["status"]["status_code"] for span in (run, *stages.values())} == {"UNSET"}
    expected = {
        "messaging.system": "redis",
        "messaging.destination.name": "images",
        "clipqueue.outcome": "done",
        "clipqueue.attempt": 1,
        "clipqueue.batch_size": 1,
        "url.full": f"{photos.url}/a.jpg",
    }
    assert run["attributes"].items() >= expected.items()
    assert "secret" not in traced.worker.log


def test_each_attempt_is_a_span_of_the_same_trace_and_says_what_failed(
    traced: Traced, client: EmbeddingClient, photos: ImageServer, state_of: Callable[[str], str]
) -> None:
    parent = json.loads(HEADERS)["traceparent"]
    url = photos.add("/busy.jpg", Answer(b"", 503), Answer(b"", 404))
    client.enqueue("failed", f"{url}?{SECRET}", trace={"traceparent": parent})
    assert state_of("failed") == "failed"
    (first, first_stages), (last, last_stages) = traced.runs("failed", 2)
    for number, (run, stages, outcome, code) in enumerate(
        [(first, first_stages, "retried", "http_503"), (last, last_stages, "failed", "http_404")], 1
    ):
        assert trace_of(run) == (TRACE_ID, SPAN_ID)
        assert list(stages) == ["check", "fetch"]
        assert (run["attributes"]["clipqueue.outcome"], run["attributes"]["clipqueue.attempt"]) == (outcome, number)
        for span in (run, stages["fetch"]):
            assert span["status"]["status_code"] == "ERROR"
            assert "/busy.jpg answered " in span["status"]["description"]
            assert span["attributes"]["error.type"] == code
        assert stages["fetch"]["events"] == []
    assert "secret" not in traced.worker.log


def test_a_job_of_the_pages_line_and_one_made_by_hand_have_the_trace_and_others_begin_one(
    traced: Traced, client: EmbeddingClient, photos: ImageServer, own: Stack
) -> None:
    document, url = {"_id": "line", "url": f"{photos.url}/a.jpg"}, f"{photos.url}/a.jpg"
    traceparent = f"00-{TRACE_ID}-{SPAN_ID}-01"
    exec(compile(ENQUEUE, "docs/tracing.md", "exec"), {"client": client, "document": document, **locals()})  # noqa: S102
    by_hand = {"hand": json.loads(HEADERS), "wrong": {"traceparent": traceparent.upper()}, "none": {}}
    with redis.Redis.from_url(own.redis_url) as broker:
        for image_id, headers in by_hand.items():
            broker.lpush("images", hand_made_message({"image_id": image_id, "url": url}, headers=headers))
    assert [trace_of(traced.runs(one)[0][0]) for one in ("line", "hand")] == [(TRACE_ID, SPAN_ID)] * 2
    for image_id in ("wrong", "none"):
        [(run, stages)] = traced.runs(image_id)
        assert trace_of(run)[1] is None
        assert list(stages) == STAGES


@pytest.mark.parametrize("other_url", ["1"], indirect=True)
@pytest.mark.skipif(not importlib.util.find_spec("opentelemetry.distro"), reason="needs opentelemetry-distro")
def test_opentelemetry_instrument_needs_no_file(
    own: Stack, own_dir: Path, other_url: str, photos: ImageServer, state_of: Callable[[str], str]
) -> None:
    """A process of its own, because the command is the subject."""
    script = SHELL.replace("-A worker.app", "-A tests.support.fake_encoder_app")
    env = {**own.environment(), **FAKE_MODEL, **FAST_RETRIES, "REDIS_URL": other_url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    process = own.start("instrumented", ["sh", "-ec", script.replace("\nopentel", "\nexec opentel")], env=env)
    worker = FakeWorker(process, own_dir / "instrumented.log")
    wait_for(lambda: " ready." in worker.log, "the worker to be ready")
    trace = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01"}
    with EmbeddingClient(other_url) as client:
        client.enqueue("instrumented", f"{photos.url}/a.jpg?{SECRET}", trace=trace)
    assert state_of("instrumented") == "done"
    [(run, stages)] = Traced(worker).runs("instrumented")
    assert trace_of(run) == (TRACE_ID, SPAN_ID)
    assert list(stages) == STAGES
    own.stop_one(process)
    assert "secret" not in worker.log


@pytest.fixture(scope="module")
def sentry() -> Iterator[SentryServer]:
    server = SentryServer()
    yield server
    server.close()


@pytest.mark.parametrize("other_url", ["2"], indirect=True)
def test_sentry_learns_of_unexpected_errors_with_their_trace_and_of_nothing_else(
    own: Stack,
    own_dir: Path,
    other_url: str,
    photos: ImageServer,
    state_of: Callable[[str], str],
    sentry: SentryServer,
) -> None:
    """A process of its own, because Sentry changes the standard library and Celery for good."""
    code = FAKE_MODEL_FIRST + SENTRY + UNEXPECTED
    worker = start_own_file(own, own_dir, "sentry", code, SENTRY_DSN=sentry.dsn, REDIS_URL=other_url)
    photos.requests.clear()
    busy = photos.add("/away.jpg", Answer(b"", 503))
    missing = f"{photos.url}/missing.jpg?{SECRET}"
    trace = {"sentry-trace": f"{TRACE_ID}-{SPAN_ID}-1", "baggage": f"sentry-trace_id={TRACE_ID}"}
    unexpected = f"{photos.url}/unexpected.jpg?{SECRET}"
    with EmbeddingClient(other_url) as client:
        for image_id, url in {"missing": missing, "away": f"{busy}?{SECRET}", "unexpected": unexpected}.items():
            client.enqueue(image_id, url, trace=trace)
            assert state_of(image_id) == "failed"
    [event] = wait_for(sentry.events, "an event")
    assert "RuntimeError" in [error["type"] for error in event["exception"]["values"]]
    assert event["contexts"]["trace"]["trace_id"] == TRACE_ID
    assert event["extra"]["celery-job"]["task_name"] == "clipqueue.embed_image"
    wait_for(lambda: len(sentry.transactions()) == 1 + 3 + 1, "a transaction of each attempt")
    own.stop_one(worker.process)
    assert len(sentry.events()) == 1
    runs = [run["contexts"]["trace"] for run in sentry.transactions()]
    assert {(run["trace_id"], run["parent_span_id"]) for run in runs} == {(TRACE_ID, SPAN_ID)}
    spans = [span for run in sentry.transactions() for span in run["spans"]]
    assert f"GET {photos.url}/unexpected.jpg" in [span["description"] for span in spans]
    sent = json.dumps(sentry.items)
    assert "secret" not in sent
    assert "/unexpected.jpg" in sent
    assert '"vars"' not in sent
    assert not [name for headers in photos.requests for name in headers if name in ("sentry-trace", "baggage")]
    assert uuid.UUID(event["event_id"])
