"""The metrics of the whole queue, as Prometheus gets them."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse

from producer.client.broker import Broker
from producer.operations.stats.collector import _QueueCollector, queue_registry
from producer.operations.stats.reading import QueueReader
from tests.support.doctor import write_heartbeat
from tests.support.stats import fill
from tests.support.telemetry import check_metrics

if TYPE_CHECKING:
    import redis

    from producer.local.stack import Stack


def values(registry: CollectorRegistry) -> dict[str, float]:
    """Return each sample; one with a label as `name{model}`."""
    samples = [sample for family in parse(generate_latest(registry).decode()) for sample in family.samples]
    return {one.name + "".join(f"{{{value}}}" for value in one.labels.values()): one.value for one in samples}


def test_all_figures(redis_url: str, queue: redis.Redis) -> None:
    fill(queue)
    with closing(Broker(redis_url)) as broker:
        registry = queue_registry(broker)
        found = values(registry)
        assert check_metrics(generate_latest(registry).decode()) == ""
    assert found.pop("clipqueue_queue_oldest_age_seconds") == pytest.approx(300, abs=5)
    assert found.pop("clipqueue_queue_overdue_seconds") == pytest.approx(120, abs=5)
    assert found.pop("clipqueue_redis_memory_bytes") > 100_000
    assert found == {
        "clipqueue_redis_up": 1,
        "clipqueue_queue_waiting": 2,
        "clipqueue_queue_in_flight": 3,
        "clipqueue_queue_delayed": 2,
        "clipqueue_queue_parked": 1,
        "clipqueue_workers{one}": 2,
        "clipqueue_workers{two/x}": 1,
        "clipqueue_query_workers{one}": 2,
        "clipqueue_query_workers{two/x}": 0,
    }


def test_a_model_without_workers_is_reported_with_zero(redis_url: str, queue: redis.Redis) -> None:
    """An alert on `clipqueue_workers == 0` finds it, and also a queue that never had a worker."""
    with closing(Broker(redis_url)) as broker:
        registry = queue_registry(broker)
        assert values(registry)["clipqueue_workers{}"] == 0
        write_heartbeat(queue, "celery@a", model="one")
        assert {name for name in values(registry) if "workers" in name} == {
            "clipqueue_workers{one}",
            "clipqueue_query_workers{one}",
        }
        queue.flushdb()
        assert values(registry)["clipqueue_workers{one}"] == 0


def test_an_unknown_age_is_missing(redis_url: str, queue: redis.Redis) -> None:
    queue.lpush("images", "no job")
    with closing(Broker(redis_url)) as broker:
        found = values(queue_registry(broker))
    assert found["clipqueue_queue_waiting"] == 1
    assert "clipqueue_queue_oldest_age_seconds" not in found


def test_a_redis_that_hangs_is_down(own: Stack, own_broker: redis.Redis, caplog: pytest.LogCaptureFixture) -> None:
    registry = CollectorRegistry()
    with closing(Broker(own.redis_url, 60)) as broker:
        registry.register(_QueueCollector(QueueReader(broker, 0.2)))
        assert values(registry)["clipqueue_redis_up"] == 1
        pid = own_broker.info("server")["process_id"]
        os.kill(pid, signal.SIGSTOP)
        try:
            assert [values(registry) for _ in range(2)] == [{"clipqueue_redis_up": 0}] * 2
        finally:
            os.kill(pid, signal.SIGCONT)
        assert len(caplog.messages) == 1, "once, and not at each scrape"
        assert check_metrics(generate_latest(registry).decode()) == ""


def test_a_redis_that_is_gone_is_down() -> None:
    with closing(Broker("redis://:secret@127.0.0.1:1/0")) as broker:
        assert values(queue_registry(broker)) == {"clipqueue_redis_up": 0}
