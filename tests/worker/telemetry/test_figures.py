"""The figures of a worker: few series, forward passes as they ran, and no error that reaches a job."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from producer.client.broker import Broker
from producer.client.workers import read_workers
from producer.operations.stats.sums import Sums
from tests.support.scraping import Samples, read_samples
from worker import errors
from worker.broker.deliveries import ConsumerState
from worker.encode.batcher import Batcher
from worker.lifecycle.heartbeat import Heartbeat
from worker.store.outage import Outage
from worker.telemetry.figures import Figures
from worker.telemetry.job_end import Attempt, JobEnd
from worker.telemetry.job_log import JobLog
from worker.telemetry.metrics import WorkerMetrics
from worker.telemetry.readings import Readings
from worker.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    import redis
    from numpy.typing import NDArray

FACTS: Any = {
    "node": "a",
    "version": "1",
    "model": "m",
    "device": "cpu",
    "precision": "fp32",
    "started_at": 1,
    "concurrency": 4,
    "model_threads": 2,
    "visibility_timeout_s": 80,
    "database": "d",
    "collection": "images",
    "upsert": True,
}
PIXELS = np.zeros((2, 2, 3), np.uint8)


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry(Figures(), Readings(lambda: 3, lambda: 0, list, lambda: 0, lambda: True), FACTS, JobLog())


def samples(telemetry: Telemetry) -> Samples:
    registry = CollectorRegistry()
    registry.register(WorkerMetrics(telemetry.figures, telemetry.readings, telemetry.facts))
    return read_samples(generate_latest(registry).decode())


def end(outcome: Any = "failed", **facts: Any) -> JobEnd:
    return Attempt(image_id="a", url="http://e.test/a", task_id="t", enqueued_at_ms=0, attempts=2).end(outcome, **facts)


def test_thousands_of_odd_statuses_hosts_and_errors_give_few_series(telemetry: Telemetry) -> None:
    class Unknown(errors.HostBusy):
        pass

    for number in range(1000):
        job = Attempt(
            image_id=f"photo-{number}",
            url=f"http://{number}.e.test/",
            task_id=f"t{number}",
            enqueued_at_ms=0,
            attempts=1,
        )
        telemetry.job_ended(job.end("failed", error=errors.HttpRefused(number, f"http://{number}.e.test answered")))
        telemetry.job_ended(job.end("retried", error=errors.HttpUnavailable(-number, "odd"), retry_in_s=1.0))
        telemetry.job_ended(job.end("requeued", error=Unknown(f"{number}")))
    found = samples(telemetry)
    failures = {name: count for name, count in found.items() if name.startswith("clipqueue_job_failures_total")}
    assert len(failures) == len(HTTPStatus) + 1
    assert failures['clipqueue_job_failures_total{code="http_404",stage="fetch"}'] == 1
    assert failures['clipqueue_job_failures_total{code="http_other",stage="fetch"}'] == 1000 - len(HTTPStatus)
    assert found['clipqueue_job_retries_total{code="http_other",stage="fetch"}'] == 1000
    assert found['clipqueue_job_requeues_total{reason="other"}'] == 1000
    assert len(found) < 400
    stats = telemetry.stats()
    assert stats
    assert len(stats["errors"]) == 20, "a heartbeat stays small"
    assert stats["errors"]["http_other"] == 2000 - len(HTTPStatus)


def test_every_error_has_a_value_of_its_own_and_every_reason_is_there_before_it_happens(telemetry: Telemetry) -> None:
    """A series that begins with 1 has no increase for Prometheus."""
    telemetry.job_ended(end(error=errors.WorkerLost("lost")))
    telemetry.job_ended(end("requeued", error=errors.DocumentDelayed("later", others_written=True)))
    found = samples(telemetry)
    assert found['clipqueue_job_failures_total{code="worker_lost",stage="receive"}'] == 1
    reasons = {name.split('"')[1]: count for name, count in found.items() if name.startswith("clipqueue_job_requeues")}
    names = "store_unavailable queue_unavailable resolver_busy decoders_busy host_busy isolation_busy worker_stopping"
    assert reasons == {**dict.fromkeys(names.split(), 0), "document_delayed": 1}
    outcomes = ("done", "skipped", "failed", "retried", "requeued")
    assert [found[f'clipqueue_jobs_total{{outcome="{name}"}}'] for name in outcomes] == [0, 0, 1, 0, 1]


def test_the_heartbeat_has_the_figures_of_the_metrics(telemetry: Telemetry, queue: redis.Redis, redis_url: str) -> None:
    done = end("done", verdict="needed", batch_size=2)
    done.times.seconds |= {"check": 0.001, "fetch": 0.5, "decode": 0.25, "encode": 2.0, "save": 0.002}
    for _ in range(3):
        telemetry.job_ended(done)
    telemetry.job_ended(end(error=errors.CorruptImage("damaged")))
    telemetry.figures.model_called(2, 0.5)
    telemetry.figures.query_ended("text", "answered", 0.1)
    telemetry.figures.fetched(1000)
    with closing(Heartbeat(Broker(redis_url), ConsumerState(), Outage(), FACTS, stats=telemetry.stats)) as heartbeat:
        heartbeat.beat()
        (written,) = read_workers(queue).heartbeats
    stats, found = written["stats"], samples(telemetry)
    assert {name: stats[name] for name in ("done", "failed", "in_flight", "queries", "fetched_bytes", "errors")} == {
        "done": 3,
        "failed": 1,
        "in_flight": 3,
        "queries": 1,
        "fetched_bytes": 1000,
        "errors": {"corrupt_image": 1},
    }
    assert (stats["batches"], stats["images"], stats["model_busy_s"]) == (1, 2, 0.5)
    for stage, (count, seconds) in stats["stages"].items():
        assert found[f"clipqueue_{stage}_duration_seconds_count"] == count == 3
        assert found[f"clipqueue_{stage}_duration_seconds_sum"] == pytest.approx(seconds)
    assert found['clipqueue_fetch_duration_seconds_bucket{le="0.5"}'] == 3
    assert found['clipqueue_fetch_duration_seconds_bucket{le="0.25"}'] == 0
    assert stats["cpu_s"] > 0
    assert stats["rss_bytes"] > 1e6
    sums = Sums.of(written)
    assert sums, "`clipqueue stats` reads them"
    assert (sums.done, sums.failed, sums.batches, sums.images, sums.errors) == (3, 1, 1, 2, {"corrupt_image": 1})
    assert [times.count for times in sums.stages.values()] == [3] * 5
    assert sums.latency.count == stats["latency"][0]


class Encoder:
    """Has memory for two images, and cannot encode the one that is 255. Both threads must be in it for the first."""

    def __init__(self) -> None:
        self.both = threading.Barrier(2)

    def encode(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        if batch.min() == 1:
            self.both.wait(60)
        if len(batch) > 2:
            raise errors.OutOfMemory
        if batch.max() == 255:
            raise RuntimeError("the model cannot encode this")
        return np.ones((len(batch), 2), np.float32)


def test_forward_passes_of_all_threads_are_counted_and_failed_ones_have_no_images() -> None:
    figures = Figures()
    batcher = Batcher(
        Encoder(), max_batch_size=1, max_waiting=8, timeout_s=60, threads=2, note_call=figures.model_called
    )
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(batcher.embed, [PIXELS + 1, PIXELS + 1]))
    assert (figures.batch_sizes.count, figures.batch_sizes.sum) == (2, 2)
    requests: list[Any] = [_request(value) for value in (0, 0, 0, 255)]
    batcher._encode(requests)  # four are too many; the first half fits, the second fails and runs one by one
    assert (figures.batch_sizes.count, figures.batch_sizes.sum) == (4, 5)
    assert figures.model_busy_s > 0
    batcher.close()


def _request(value: int) -> Any:
    from worker.encode.batcher import _Request  # noqa: PLC0415

    return _Request(PIXELS + np.uint8(value))


def test_an_error_of_the_figures_or_the_log_reaches_no_job_and_no_forward_pass(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    broken: Any = None
    telemetry.figures.stages = telemetry.figures.batch_sizes = broken
    job = end("done", verdict="needed")
    job.times.seconds["check"] = 0.1
    batcher = Batcher(
        Encoder(), max_batch_size=8, max_waiting=8, timeout_s=60, note_call=telemetry.figures.model_called
    )
    for _ in range(3):
        telemetry.job_ended(job)
        telemetry.job_ended(broken)
        assert batcher.embed(PIXELS).batch_size == 1
    batcher.close()
    assert telemetry.stats() is None
    for name in ("job_ended", "model_called", "worker_stats", "_log"):
        assert caplog.text.count(f"{name} failed; no job is affected") <= 1, "each is logged once"
    assert "model_called failed" in caplog.text
