"""The deployment files are valid and agree with each other and with the code. The Procfile is run."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from ephemeral_port_reserve import reserve

from producer.client.client import EmbeddingClient
from producer.local.guardian import start_guarded
from tests.conftest import WORKER_ENV
from tests.support.pictures import small_jpeg
from tests.support.servers import Answer
from tests.support.waiting import wait_for
from worker.settings import Settings

if TYPE_CHECKING:
    from producer.local.stack import Stack
    from tests.support.servers import ImageServer

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


class ComposeLoader(yaml.SafeLoader):
    """Reads Compose's tag `!override`, which replaces a list instead of adding to it."""


def read_list(loader: ComposeLoader, node: yaml.SequenceNode) -> list[Any]:
    return loader.construct_sequence(node)


ComposeLoader.add_constructor("!override", read_list)


def compose(name: str = "docker-compose.yml") -> dict[str, Any]:
    services: dict[str, Any] = yaml.load((ROOT / name).read_text(), ComposeLoader)["services"]  # noqa: S506
    return services


@pytest.mark.parametrize("name", ["docker-compose.yml", "docker-compose.search.yml"])
def test_compose_follows_its_published_schema(name: str, tmp_path: Path) -> None:
    plain = tmp_path / name
    plain.write_text((ROOT / name).read_text().replace("!override ", ""))
    command = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(plain)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_search_file_changes_only_mongodb_of_the_other_file() -> None:
    changed = compose("docker-compose.search.yml")
    assert changed.keys() == {"mongo"} <= compose().keys()
    # It is a replica set, and its only member calls itself by its host name.
    assert changed["mongo"]["hostname"] in compose()["worker"]["environment"]["MONGODB_URI"]


def test_compose_opens_ports_on_this_machine_only() -> None:
    ports = [port for service in compose().values() for port in service.get("ports", [])]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_persists_the_queue_and_starts_services_in_order() -> None:
    services = compose()
    assert set(services) == {"redis", "mongo", "worker", "query", "api", "sweep", "notify", "flower"}
    assert [name for name, service in services.items() if "profiles" in service] == ["notify"], "it needs a URL"
    assert "--appendonly yes --maxmemory-policy noeviction" in " ".join(services["redis"]["command"])
    assert services["redis"]["volumes"]
    assert services["mongo"]["volumes"]
    waits = services["worker"]["depends_on"]
    assert {name: waits[name]["condition"] for name in ("redis", "mongo")} == dict.fromkeys(
        ("redis", "mongo"), "service_healthy"
    )
    assert all("healthcheck" in services[name] for name in ("redis", "mongo"))


def test_every_platform_gives_a_worker_enough_time_to_drain() -> None:
    grace_s = json.loads((ROOT / "railway.json").read_text())["deploy"]["drainingSeconds"]
    assert isinstance(grace_s, int)
    assert {compose()[name]["stop_grace_period"] for name in ("worker", "query")} == {f"{grace_s}s"}
    settings = Settings()
    # After the drain, the worker closes its connections one by one, each with its own timeout.
    assert grace_s >= settings.drain_s + settings.encode_s + settings.store_s


def test_the_dockerfile_passes_hadolint() -> None:
    hadolint = BIN / "hadolint"
    if not hadolint.exists():
        pytest.skip("hadolint has no build for this machine")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_dockerfile_has_the_stages_and_files_that_others_need() -> None:
    text = (ROOT / "Dockerfile").read_text()
    stages = re.findall(r"^FROM \S+ AS (\S+)$", text, re.MULTILINE)
    # Railway builds the last stage.
    assert text.endswith("\nFROM ${CLIPQUEUE_IMAGE}\n")
    assert "\nARG CLIPQUEUE_IMAGE=worker\n" in text.partition("\nFROM ")[0]
    assert {service["build"]["target"] for service in compose().values() if "build" in service} <= set(stages)
    for stage in re.split(r"^FROM ", text, flags=re.MULTILINE)[2:-1]:  # without comment, base stage and last stage
        assert re.search(r'^CMD \["(celery|clipqueue)"', stage, re.MULTILINE), "a shell would not pass SIGTERM on"
        assert "\nUSER 10001" in stage
        assert "\nHEALTHCHECK " in stage
    copied = [name for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE) for name in line.split()[:-1]]
    assert all((ROOT / name).exists() for name in copied)


def test_the_procfile_runs_a_worker_and_flower_shows_its_tasks(
    stack: Stack, images: ImageServer, tmp_path: Path, new_id: str
) -> None:
    """honcho starts both processes like a platform would, on a separate Redis database."""
    port = reserve()
    redis_url = stack.redis_url.removesuffix("0") + "4"
    env = {
        **stack.environment(),
        **WORKER_ENV,
        "REDIS_URL": redis_url,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "FLOWER_UNAUTHENTICATED_API": "true",
        "FLOWER_ADDRESS": "127.0.0.1",
    }
    # honcho adds 100 to the port for each process type. The worker ignores its port; Flower gets `port`.
    command = [str(BIN / "honcho"), "start", "--no-prefix", "-p", str(port - 100), "worker", "flower"]
    log = tmp_path / "honcho.log"
    with log.open("wb") as output:
        honcho = start_guarded(command, cwd=ROOT, env=env, stdout=output, stderr=output)
    try:

        def api(path: str) -> Any:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/{path}", timeout=5) as answer:
                    return json.load(answer)
            except OSError:
                return None

        wait_for(lambda: api("workers?refresh=1") or None, f"Flower to see the worker: see {log}", 120)
        with EmbeddingClient(redis_url) as client:
            done = client.enqueue(f"{new_id}-done", images.add("/a.jpg", small_jpeg()) + "?sig=secret")
            failed = client.enqueue(f"{new_id}-failed", images.add("/b.jpg", Answer(b"", 404)))

        def finished() -> Any:
            tasks = api("tasks") or {}
            return tasks if {tasks.get(one, {}).get("state") for one in (done, failed)} == {"SUCCESS", "FAILURE"} else 0

        tasks = wait_for(finished, "Flower to show both tasks ended")
        assert tasks[done]["state"] == "SUCCESS"
        assert tasks[done]["name"] == "clipqueue.embed_image"
        assert f"{new_id}-done" in tasks[done]["kwargs"]
        assert "secret" not in json.dumps(tasks)
        assert "404" in tasks[failed]["exception"]
    finally:
        honcho.send_signal(signal.SIGTERM)
        honcho.wait(60)
