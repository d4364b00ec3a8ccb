"""The metrics and the health of the API: requests by route, and whether the event loop turns."""

from __future__ import annotations

import re
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from prometheus_client import generate_latest

from producer.api.app import route_paths
from producer.api.metrics import ApiMetrics, Routes
from producer.api.pulse import Pulse
from producer.api.telemetry import ApiTelemetry
from tests.support.api import Api, running_api
from tests.support.clocks import Clock
from tests.support.telemetry import check_metrics
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.local.stack import Stack


@pytest.fixture(scope="module")
def telemetry() -> ApiTelemetry:
    return ApiTelemetry(ApiMetrics(route_paths()), Pulse())


@pytest.fixture(scope="module")
def counted_api(stack: Stack, telemetry: ApiTelemetry) -> Iterator[Api]:
    """An API with metrics, on a Redis database without a worker."""
    redis_url = stack.redis_url.removesuffix("0") + "6"
    with running_api(telemetry=telemetry, REDIS_URL=redis_url, MONGODB_URI=stack.mongodb_uri) as api:
        yield api


def counts(telemetry: ApiTelemetry, *labels: str) -> Counter[tuple[str, ...]]:
    """Return the number of requests by the values of some labels."""
    found: Counter[tuple[str, ...]] = Counter()
    for family in telemetry.metrics.registry.collect():
        for sample in family.samples:
            if sample.name == "clipqueue_api_requests_total":
                found[tuple(sample.labels[label] for label in labels)] += int(sample.value)
    return found


def test_requests_are_counted_by_route_and_never_by_path(counted_api: Api, telemetry: ApiTelemetry) -> None:
    """Those that are refused too, at the door or by the router."""
    before = counts(telemetry, "method", "route", "status")
    counted_api.get("/healthz")
    counted_api.get("/v1/images/secret-1")
    counted_api.get("/v1/images/secret-2?token=secret-3")
    counted_api.get("/v1/images/secret-4", headers={"authorization": "Bearer wrong"})
    counted_api.get("/secret-5")
    counted_api.get("/secret-6/" + "x" * 5000)
    counted_api.request("PATCH", "/v1/images/secret-7")
    counted_api.request("SECRET8", "/v1/models")
    counted_api.request("HEAD", "/assets/secret-9.js")
    counted_api.post("/v1/images", data="no JSON")
    expected: dict[tuple[str, ...], int] = {
        ("GET", "/healthz", "200"): 1,
        ("GET", "/v1/images/{image_id}", "404"): 2,
        ("GET", "/v1/images/{image_id}", "401"): 1,
        ("GET", "none", "404"): 2,
        ("PATCH", "/v1/images/{image_id}", "405"): 1,
        ("other", "/v1/models", "405"): 1,
        ("HEAD", "/assets/", "404"): 1,
        ("POST", "/v1/images", "400"): 1,
    }
    wait_for(lambda: counts(telemetry, "method", "route", "status") - before == expected, "the counts")
    exposition = generate_latest(telemetry.metrics.registry).decode()
    assert "secret" not in exposition.lower()
    assert 'clipqueue_api_request_duration_seconds_count{route="none"}' in exposition
    assert re.search(r'^clipqueue_build_info\{part="api",version="\d\S+"\} 1.0$', exposition, re.MULTILINE)
    assert "process_resident_memory_bytes" in exposition
    assert check_metrics(exposition) == ""


@pytest.mark.parametrize("path", ["/metrics", "/metrics/queue", "/livez", "/readyz"])
def test_the_public_port_has_no_metrics(counted_api: Api, path: str) -> None:
    assert counted_api.get(path).status_code == 404


def test_every_documented_path_is_a_route_of_its_own(counted_api: Api) -> None:
    routes = Routes(route_paths())
    for path in counted_api.get("/openapi.json").json()["paths"]:
        assert routes.find(re.sub(r"\{\w+\}", "a/b", path)) == path
    assert routes.find("/assets/page.js") == "/assets/"
    assert routes.find("/docs/assets/swagger-ui.css") == "/docs/assets/"
    assert routes.find("/nothing\n") == "none"


def test_the_api_is_live_and_ready(counted_api: Api, telemetry: ApiTelemetry) -> None:
    assert (telemetry.pulse.live(), telemetry.pulse.ready()) == ("", "")


def test_an_event_loop_that_hangs_is_neither(stack: Stack) -> None:
    clock = Clock(0.0)
    telemetry = ApiTelemetry(ApiMetrics(route_paths()), Pulse(clock))
    assert telemetry.pulse.ready() == "the API is starting or stopping"
    with running_api(telemetry=telemetry, REDIS_URL=stack.redis_url, MONGODB_URI=stack.mongodb_uri):
        loop, hangs, is_over = telemetry.pulse._loop, threading.Event(), threading.Event()
        assert loop
        loop.call_soon_threadsafe(hangs.set)
        loop.call_soon_threadsafe(is_over.wait, 60)
        assert hangs.wait(60)
        clock.now_s = 50.0
        problems = telemetry.pulse.live(), telemetry.pulse.ready()
        is_over.set()
        assert problems == ("the event loop has not moved for 50 s, and had to within 20 s",) * 2
        wait_for(lambda: telemetry.pulse.live() == "", "the next turn")
    assert telemetry.pulse.ready() == "the API is starting or stopping"


def test_what_does_not_answer_is_named() -> None:
    telemetry = ApiTelemetry(ApiMetrics(route_paths()), Pulse())
    gone = {
        "REDIS_URL": "redis://:secret@127.0.0.1:1",
        "MONGODB_URI": "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50",
    }
    with running_api(telemetry=telemetry, **gone):
        assert telemetry.pulse.ready() == "no answer from Redis and MongoDB"
        assert telemetry.pulse.live() == ""
