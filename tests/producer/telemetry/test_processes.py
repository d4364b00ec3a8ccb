"""What two APIs, a sweep and a notify serve together: each figure once, by the processes as a platform starts them.

The processes are the subject: their environment, their ports, their signals. All tests share one of each.
"""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest
import requests
from ephemeral_port_reserve import reserve
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.support.api import KEY
from tests.support.commands import COMMAND, run, start
from tests.support.receiver import WebhookReceiver
from tests.support.stats import fill
from tests.support.telemetry import Got, check_metrics, get, read_answer, send
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    import redis

    from producer.local.stack import Stack

WEBHOOK_SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
API_KEYS = {"CLIPQUEUE_API_KEYS": KEY, "CLIPQUEUE_API_HOST": "127.0.0.1"}


class Fleet:
    """The processes, and the port of each one's telemetry."""

    def __init__(self, stack: Stack, folder: Path, hook: str) -> None:
        self.stack = stack
        self.folder = folder
        self.ports: dict[str, int] = {}
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.api_url = ""
        self.hook = {"CLIPQUEUE_WEBHOOK_URL": hook, "CLIPQUEUE_WEBHOOK_SECRET": WEBHOOK_SECRET}

    def start(self, name: str, *arguments: str, port_variable: str = "CLIPQUEUE_METRICS_PORT", **env: str) -> None:
        self.ports[name] = reserve("127.0.0.1")
        settings = {**self.stack.environment(), **self.hook, **env, port_variable: str(self.ports[name])}
        self.processes[name] = start([*COMMAND, *arguments], {**os.environ, **settings})

    def get(self, name: str, path: str) -> Got:
        return get(self.ports[name], path)

    def answers(self, name: str, path: str, status: int = 200) -> bool:
        try:
            return self.get(name, path).status == status
        except ConnectionRefusedError:
            assert self.processes[name].poll() is None, f"{name} has ended"
            return False


@pytest.fixture(scope="module")
def fleet(own: Stack, own_dir: Path) -> Iterator[Fleet]:
    """Two APIs, a sweep whose port comes from the platform, and a notify."""
    with closing(WebhookReceiver()) as receiver, ExitStack() as ending:
        fleet = Fleet(own, own_dir, receiver.hook)
        api_port = str(reserve("127.0.0.1"))
        fleet.api_url = f"http://127.0.0.1:{api_port}"
        fleet.start("api 1", "serve", PORT=api_port, **API_KEYS)
        fleet.start("api 2", "serve", PORT=str(reserve("127.0.0.1")), **API_KEYS)
        fleet.start("sweep", "sweep", "--every", "0.5", port_variable="PORT")
        fleet.start("notify", "notify")
        for process in fleet.processes.values():
            ending.enter_context(process)
            ending.callback(process.kill)
        for name in fleet.processes:
            wait_for(lambda name=name: fleet.answers(name, "/readyz"), f"{name} to be ready")  # type: ignore[misc]
        yield fleet


def families(exposition: str) -> dict[str, float]:
    """Return the sum of each metric's samples; of a histogram, of its count."""
    found: dict[str, float] = {}
    for family in parse(exposition):
        for sample in family.samples:
            if sample.name in {family.name, f"{family.name}_total", f"{family.name}_count"}:
                found[family.name] = found.get(family.name, 0) + sample.value
    return found


def test_each_figure_is_served_once(fleet: Fleet, own_broker: redis.Redis) -> None:
    """Prometheus adds up what all processes serve at /metrics. The queue is at a path of its own."""
    fill(own_broker)
    for _ in range(5):
        requests.get(f"{fleet.api_url}/v1/images/none", headers={"x-api-key": KEY}, timeout=30)
    found = {name: families(fleet.get(name, "/metrics").text) for name in fleet.ports}
    ours = {name: {one for one in names if one.startswith("clipqueue")} for name, names in found.items()}
    api = {"clipqueue_build_info", "clipqueue_api_requests", "clipqueue_api_request_duration_seconds"}
    assert ours["api 1"] == api
    assert ours["api 2"] == {"clipqueue_build_info"}, "nobody has asked it anything"
    assert ours["sweep"] == {
        *{"clipqueue_build_info", "clipqueue_sweeps", "clipqueue_sweep_requeued"},
        "clipqueue_sweep_last_success_timestamp_seconds",
    }
    assert ours["notify"] == {"clipqueue_build_info", "clipqueue_webhooks"}
    assert all("process_cpu_seconds" in names for names in found.values())
    assert sum(names.get("clipqueue_api_requests", 0) for names in found.values()) == 5
    assert found["sweep"]["clipqueue_sweeps"] >= 1


def test_all_expositions_keep_the_conventions(fleet: Fleet, own_broker: redis.Redis) -> None:
    fill(own_broker)
    paths = [(name, "/metrics") for name in fleet.ports] + [("api 1", "/metrics/queue"), ("sweep", "/metrics/queue")]
    assert {where: check_metrics(fleet.get(*where).text) for where in paths} == dict.fromkeys(paths, "")


def test_the_queue_is_the_same_from_the_api_and_the_sweep(fleet: Fleet, own_broker: redis.Redis) -> None:
    fill(own_broker)
    for name in ("api 1", "api 2", "sweep"):
        found = families(fleet.get(name, "/metrics/queue").text)
        assert (found["clipqueue_queue_waiting"], found["clipqueue_queue_parked"], found["clipqueue_workers"]) == (
            2,
            1,
            3,
        )
        assert "clipqueue_build_info" not in found
    assert fleet.get("notify", "/metrics/queue").status == 404


def test_redis_hangs(fleet: Fleet, own_broker: redis.Redis) -> None:
    """A scrape says so, the API is not ready, and each process is live and answers."""
    pid = own_broker.info("server")["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        scrape = b"GET /metrics/queue HTTP/1.1\r\n\r\n"
        waiting = [send(fleet.ports[name], scrape) for name in ("api 1", "sweep")]
        assert {name: fleet.get(name, "/livez").text for name in fleet.ports} == dict.fromkeys(fleet.ports, "ok\n")
        assert {fleet.get(name, "/metrics").status for name in fleet.ports} == {200}
        assert [families(read_answer(sock).text) for sock in waiting] == [{"clipqueue_redis_up": 0}] * 2
        wait_for(lambda: fleet.answers("api 1", "/readyz", 503), "the API to notice")
    finally:
        os.kill(pid, signal.SIGCONT)
    for name in fleet.ports:
        wait_for(lambda name=name: fleet.answers(name, "/readyz"), f"{name} to be ready again")  # type: ignore[misc]


@pytest.mark.parametrize("command", ["serve", "sweep --every 1", "notify"])
def test_a_port_in_use_is_a_clear_error(fleet: Fleet, command: str) -> None:
    env = {**fleet.stack.environment(), **fleet.hook, **API_KEYS}
    done = run(*command.split(), **env, CLIPQUEUE_METRICS_PORT=str(fleet.ports["api 1"]))
    assert done.returncode == 1
    where = f"CLIPQUEUE_METRICS_PORT: metrics cannot be served on '127.0.0.1', port {fleet.ports['api 1']}"
    assert where in done.stdout + done.stderr
    assert "choose a free port" in done.stdout + done.stderr


def test_they_end_well(fleet: Fleet) -> None:
    """The last test, as it ends them."""
    for process in fleet.processes.values():
        process.send_signal(signal.SIGTERM)
    for name, process in fleet.processes.items():
        log = "".join(process.communicate(timeout=60))
        assert process.returncode in ({0, -signal.SIGTERM} if "api" in name else {0}), log
        assert "Traceback" not in log
