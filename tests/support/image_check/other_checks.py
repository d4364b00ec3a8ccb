"""Runs the images of sweep, flower and api, each against Redis and MongoDB on loopback."""

from __future__ import annotations

import base64
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import redis
from ephemeral_port_reserve import reserve

from producer.client.client import EmbeddingClient
from producer.local.stack import LOOPBACK_ALLOWED
from tests.support.image_check.container import running
from tests.support.image_check.worker_check import HEALTH_CPU_MS, QUICK_HEALTH, check_process_one
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.support.image_check.container import Container
    from tests.support.image_check.engine import Engine
    from tests.support.image_check.report import Report

if TYPE_CHECKING:
    from producer.local.stack import Stack

# Platforms that say nothing else give a service this long, in seconds.
_GRACE_S = 10
_HEALTHY_S = 60
_LOGIN = "image:check"
_KEY = "image-check-0123456789"


def check_sweep(report: Report, engine: Engine, servers: Stack) -> None:
    """A job is recorded, and Redis loses it."""
    env = {"REDIS_URL": servers.redis_url, "MONGODB_URI": servers.mongodb_uri, "CLIPQUEUE_SWEEP_AGE_S": "0"}
    with (
        redis.Redis.from_url(servers.redis_url) as broker,
        EmbeddingClient(servers.redis_url, mongodb_uri=servers.mongodb_uri) as client,
    ):
        client.enqueue("lost", "http://127.0.0.1:9/lost.jpg", record=True)
        broker.flushall()
        with report.part("sweep", "runs"), running(engine, "sweep", env) as container:
            started = time.monotonic()
            wait_for(lambda: broker.llen("images"), f"the lost job: {container.logs()}")
            report.check(
                "sweep", "enqueues a job that Redis lost", f"after {time.monotonic() - started:.0f} s", ok=True
            )
            check_process_one(report, "sweep", container, "clipqueue sweep")
            _check_stop(report, "sweep", container)
        broker.flushall()


def check_flower(report: Report, engine: Engine, servers: Stack) -> None:
    """With a password it shows workers to those who have it; without one it does not start."""
    port = reserve()
    env = {"REDIS_URL": servers.redis_url, "PORT": str(port)}
    with report.part("flower", "without a password"), running(engine, "flower", env) as container:
        code = container.wait()
        last = (container.logs().strip().splitlines() or [""])[-1]
        report.check(
            "flower",
            "without a password: does not start",
            f"exit code {code}: {last[:60]}",
            code != 0 and "BASIC_AUTH" in last,
        )
    env["FLOWER_BASIC_AUTH"] = _LOGIN
    with report.part("flower", "runs"), running(engine, "flower", env, *QUICK_HEALTH) as container:
        _check_health(report, "flower", container)
        check_process_one(report, "flower", container, "celery")
        url = f"http://127.0.0.1:{port}/"
        statuses = [_status(url), _status(url, f"Basic {base64.b64encode(_LOGIN.encode()).decode()}")]
        report.check("flower", "its page without and with the password", statuses, statuses == [401, 200])
        _check_stop(report, "flower", container)


def check_api(report: Report, engine: Engine, servers: Stack) -> None:
    """It answers those who have a key, and its page is open."""
    port = reserve()
    env = {
        **LOOPBACK_ALLOWED,
        "REDIS_URL": servers.redis_url,
        "MONGODB_URI": servers.mongodb_uri,
        "PORT": str(port),
        "CLIPQUEUE_API_KEYS": _KEY,
    }
    with report.part("api", "runs"), running(engine, "api", env, *QUICK_HEALTH) as container:
        _check_health(report, "api", container)
        check_process_one(report, "api", container, "clipqueue serve")
        url = f"http://127.0.0.1:{port}"
        statuses = [
            _status(f"{url}/"),
            _status(f"{url}/v1/images/none"),
            _status(f"{url}/v1/images/none", f"Bearer {_KEY}"),
        ]
        report.check("api", "page; a document without and with the key", statuses, statuses == [200, 401, 404])
        _check_stop(report, "api", container)


def _check_health(report: Report, service: str, container: Container) -> None:
    first = container.check_health()
    report.check(service, "unhealthy before it listens", first.stderr.strip(), first.returncode == 1)
    seconds = container.wait_for_health("healthy", _HEALTHY_S)
    report.check(service, "healthy after", f"{seconds:.0f} s", ok=True)
    cpu_ms = container.health_cpu_ms()
    report.check(service, "processor time of a health check", f"{cpu_ms:.0f} ms", cpu_ms < HEALTH_CPU_MS)


def _check_stop(report: Report, service: str, container: Container) -> None:
    code, seconds = container.stop(_GRACE_S)
    report.check(service, "SIGTERM", f"exit code {code} after {seconds:.1f} s", code == 0 and seconds < _GRACE_S)


def _status(url: str, authorization: str = "") -> int:
    request = urllib.request.Request(url, headers={"Authorization": authorization} if authorization else {})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_GRACE_S) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
