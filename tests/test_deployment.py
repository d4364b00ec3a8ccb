"""The deployment files are valid and agree with each other and with the code. The Procfile is run."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from ephemeral_port_reserve import reserve

from producer.api import healthcheck, server
from producer.client.client import EmbeddingClient
from producer.local.guardian import start_guarded
from producer.webhooks.receiver import TIMEOUT_S
from tests.conftest import WORKER_ENV
from tests.producer.local.up import FAKE_ENV
from tests.support.pictures import small_jpeg
from tests.support.servers import Answer
from tests.support.waiting import wait_for
from worker.settings import load_settings

if TYPE_CHECKING:
    from producer.local.stack import Stack
    from tests.support.servers import ImageServer

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
IMAGES = ("worker", "sweep", "api", "flower")
RAILWAY = {
    "railway.json": "worker",
    "railway.query.json": "worker",
    "railway.sweep.json": "sweep",
    "railway.notify.json": "sweep",
    "railway.api.json": "api",
    "railway.flower.json": "flower",
}
SECONDS = {"type": "integer", "minimum": 0}
RAILWAY_SCHEMA = {
    "type": "object",
    "required": ["$schema", "build", "deploy"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"const": "https://railway.com/railway.schema.json"},
        "build": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "builder": {"const": "DOCKERFILE"},
                "dockerfilePath": {"const": "Dockerfile"},
                "watchPatterns": {"type": "array", "items": {"type": "string", "pattern": "^!?/"}, "minItems": 1},
            },
        },
        "deploy": {
            "type": "object",
            # Without a draining time, Railway kills right after SIGTERM.
            "required": ["drainingSeconds", "restartPolicyType"],
            "additionalProperties": False,
            "properties": {
                "startCommand": {"type": "string", "minLength": 1},
                "healthcheckPath": {"type": "string", "pattern": "^/"},
                "healthcheckTimeout": SECONDS,
                "restartPolicyType": {"enum": ["ON_FAILURE", "ALWAYS", "NEVER"]},
                "overlapSeconds": SECONDS,
                "drainingSeconds": SECONDS,
            },
        },
    },
}


def railway(name: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((ROOT / name).read_text())
    return config


class ComposeLoader(yaml.SafeLoader):
    """Reads Compose's tag `!override`, which replaces a list instead of adding to it."""


def read_list(loader: ComposeLoader, node: yaml.SequenceNode) -> list[Any]:
    return loader.construct_sequence(node)


ComposeLoader.add_constructor("!override", read_list)


def compose(name: str = "docker-compose.yml") -> dict[str, Any]:
    services: dict[str, Any] = yaml.load((ROOT / name).read_text(), ComposeLoader)["services"]  # noqa: S506
    return services


OURS = ("TORCH_INDEX_URL", "HF_TOKEN", "CLIPQUEUE_LOG_FORMAT")


def render(*names: str, **variables: str) -> dict[str, Any]:
    """Return the services that Docker Compose itself makes of these files; needs no Docker engine."""
    if not (BIN / "docker-compose").exists():
        pytest.skip("Docker Compose has no build for this machine")
    files = [option for name in names for option in ("--file", name)]
    env = {name: value for name, value in os.environ.items() if name not in OURS}
    command = [str(BIN / "docker-compose"), *files, "--env-file", os.devnull, "config", "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, env={**env, **variables}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return services


def read_stages() -> dict[str, str]:
    """Return the lines of each stage of the Dockerfile, with those of the stages that it builds on."""
    stages: dict[str, str] = {}
    for part in re.split(r"^FROM ", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]:
        if found := re.match(r"(\S+) AS (\S+)\n", part):
            stages[found[2]] = stages.get(found[1], "") + part
    return stages


def copied_by(stage: str) -> set[str]:
    """Return the files and folders that an image copies from the repository."""
    return {name for line in re.findall(r"^COPY (.+)$", stage, re.MULTILINE) for name in line.split()[:-1]}


@pytest.mark.parametrize("name", ["docker-compose.yml", "docker-compose.search.yml", "docker-compose.gpu.yml"])
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


def test_services_with_the_same_code_share_one_image_without_more_than_they_need() -> None:
    services = compose()
    images = {
        name: (service["image"], service["build"]["target"]) for name, service in services.items() if "build" in service
    }
    assert images == {
        "worker": ("clipqueue-worker", "worker"),
        "query": ("clipqueue-worker", "worker"),
        "api": ("clipqueue-api", "api"),
        "sweep": ("clipqueue-sweep", "sweep"),
        "notify": ("clipqueue-sweep", "sweep"),
        "flower": ("clipqueue-flower", "flower"),
    }
    assert services["query"]["build"] == services["worker"]["build"], "two builds of one image are the same build"
    assert all("mem_limit" in service for service in services.values())
    for name in images:
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]


def test_compose_builds_for_a_cpu_and_with_the_other_file_for_a_gpu() -> None:
    """Docker Compose itself merges the files."""
    for_cpu = render("docker-compose.yml")
    assert {for_cpu[name]["build"]["args"]["TORCH_INDEX_URL"] for name in ("worker", "query")} == {CPU_INDEX}
    assert "deploy" not in for_cpu["worker"]
    for_gpu = render("docker-compose.yml", "docker-compose.gpu.yml")
    # pip's default index.
    assert [for_gpu[name]["build"]["args"]["TORCH_INDEX_URL"] for name in ("worker", "query")] == ["", ""]
    assert for_gpu["query"]["build"] == for_gpu["worker"]["build"]
    (device,) = for_gpu["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", 1, ["gpu"])


def test_compose_gives_a_token_to_the_build_and_to_no_container() -> None:
    services = render("docker-compose.yml", HF_TOKEN="hf_secret")
    assert [secret["source"] for secret in services["worker"]["build"]["secrets"]] == ["hf_token"]
    assert "hf_secret" not in json.dumps(services)
    stage = read_stages()["worker"]
    (pull,) = re.findall(r"^RUN (.*clipqueue model pull)$", stage, re.MULTILINE)
    user = re.findall(r"^USER (\S+)$", stage, re.MULTILINE)
    # The file belongs to root otherwise, and the user could not read it.
    assert pull.startswith(f"--mount=type=secret,id=hf_token,uid={user[-1]} HF_TOKEN_PATH=/run/secrets/hf_token ")


def test_compose_shows_text_unless_asked_for_json() -> None:
    """People read `docker compose up`; nothing is a terminal there."""
    for form, shell in (("text", {}), ("json", {"CLIPQUEUE_LOG_FORMAT": "json"})):
        services = render("docker-compose.yml", **shell)
        forms = {name: one.get("environment", {}).get("CLIPQUEUE_LOG_FORMAT") for name, one in services.items()}
        assert {name for name, value in forms.items() if value == form} >= {"worker", "query", "api", "sweep"}


def test_compose_opens_ports_on_this_machine_only() -> None:
    ports = [port for service in compose().values() for port in service.get("ports", [])]
    assert len(ports) == 6
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_grafana_and_prometheus_run_only_with_their_profile_and_the_password_is_a_variable() -> None:
    assert not {"grafana", "prometheus"} & render("docker-compose.yml").keys()
    services = render("docker-compose.yml", COMPOSE_PROFILES="monitoring", GRAFANA_PASSWORD="chosen")
    assert services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"] == "chosen"
    assert re.fullmatch(r"prom/prometheus:v3\.\d+\.\d+", services["prometheus"]["image"])
    assert re.fullmatch(r"grafana/grafana:\d+\.\d+", services["grafana"]["image"])


def test_compose_persists_the_queue_and_starts_services_in_order() -> None:
    services = compose()
    always = {name for name, service in services.items() if "profiles" not in service}
    assert always == {"redis", "mongo", "worker", "query", "api", "sweep", "flower"}
    # Notify needs a URL.
    assert services.keys() - always == {"notify", "prometheus", "grafana"}
    assert "--appendonly yes --maxmemory-policy noeviction" in " ".join(services["redis"]["command"])
    assert services["redis"]["volumes"]
    assert services["mongo"]["volumes"]
    waits = services["worker"]["depends_on"]
    assert {name: waits[name]["condition"] for name in ("redis", "mongo")} == dict.fromkeys(
        ("redis", "mongo"), "service_healthy"
    )
    assert all("healthcheck" in services[name] for name in ("redis", "mongo"))


def test_every_platform_gives_a_worker_enough_time_to_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    grace_s = railway("railway.json")["deploy"]["drainingSeconds"]
    assert {compose()[name]["stop_grace_period"] for name in ("worker", "query")} == {f"{grace_s}s"}
    assert railway("railway.query.json")["deploy"]["drainingSeconds"] == grace_s
    assert grace_s >= longest_stop_s()
    # Heroku kills after 30 s, and no setting changes that. The page has the variables that fit.
    (row,) = re.findall(r"^\| Heroku .*$", (ROOT / "docs" / "deployment.md").read_text(), re.MULTILINE)
    variables = re.findall(r"`(CLIPQUEUE_\w+)=(\d+)`", row)
    assert variables
    for name, value in variables:
        monkeypatch.setenv(name, value)
    assert longest_stop_s() <= 30


def longest_stop_s() -> float:
    """Return the longest time that a worker takes to stop: it closes its connections after the drain, one by one."""
    settings = load_settings()
    return settings.drain_s + settings.encode_s + settings.store_s


@pytest.mark.parametrize("name", RAILWAY)
def test_a_config_file_of_railway_follows_its_documentation(name: str) -> None:
    """Railway publishes a schema, which cannot be had here. This one has the fields and types of its reference page."""
    jsonschema.validate(railway(name), RAILWAY_SCHEMA)


@pytest.mark.parametrize(("name", "image"), RAILWAY.items())
def test_railway_starts_a_service_without_a_shell_and_rebuilds_it_for_its_own_files(name: str, image: str) -> None:
    config, stage = railway(name), read_stages()[image]
    command = config["deploy"].get("startCommand")
    if command is None:
        assert name == "railway.json", "the image's own command runs, and CLIPQUEUE_IMAGE chooses the image"
    else:
        # Railway expands no variables without a shell, and a shell would not pass SIGTERM on.
        assert not re.search(r"[$&|;<>\"']|\bsh\b", command)
        own = json.loads(re.findall(r"^CMD (.+)$", stage, re.MULTILINE)[-1])
        assert command == "clipqueue notify" or shlex.split(command)[-len(own) :] == own
    patterns = config["build"]["watchPatterns"]
    assert "!/producer/js/**" in patterns, "no image has it"
    watched = {pattern.strip("/*") for pattern in patterns if not pattern.startswith("!")}
    assert all((ROOT / one).exists() for one in watched)
    assert {name, "Dockerfile", ".dockerignore"} <= watched
    # The wheel has both packages, but what needs no Celery does not run the worker's code.
    unused = {"README.md", "LICENSE"} | ({"worker"} if image in ("api", "sweep") else set())
    assert {one.partition("/")[0] for one in copied_by(stage)} - unused <= watched


def test_railway_s_health_paths_are_those_of_the_images() -> None:
    for name, image in RAILWAY.items():
        path = railway(name)["deploy"].get("healthcheckPath")
        checks = re.findall(r'CMD \["python", "-I", "-S", "healthcheck.py", "(\S+)", .*"PORT"', read_stages()[image])
        if image == "worker":  # its HEALTHCHECK reads a file, which needs no port
            assert (path, checks) == ("/readyz", [])
        else:
            assert checks == ([path] if path else [])


def test_the_dockerfile_passes_hadolint() -> None:
    hadolint = BIN / "hadolint"
    if not hadolint.exists():
        pytest.skip("hadolint has no build for this machine")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_dockerfile_has_the_stages_and_files_that_others_need() -> None:
    text = (ROOT / "Dockerfile").read_text()
    # Railway builds the last stage.
    assert text.endswith("\nFROM ${CLIPQUEUE_IMAGE}\n")
    assert "\nARG CLIPQUEUE_IMAGE=worker\n" in text.partition("\nFROM ")[0]
    assert f"\nARG TORCH_INDEX_URL={CPU_INDEX}\n" in read_stages()["worker"]
    assert read_stages().keys() == {"base", "sources", *IMAGES}
    assert all((ROOT / name).exists() for stage in read_stages().values() for name in copied_by(stage))


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_a_user_without_a_shell_and_checks_itself_without_packages(image: str) -> None:
    stage = read_stages()[image]
    assert re.search(r'^CMD \["(celery|clipqueue)"', stage, re.MULTILINE), "a shell would not pass SIGTERM on"
    assert re.findall(r"^USER (\S+)$", stage, re.MULTILINE) == ["10001"]
    # Python would import the sources instead of the installed package from the folder that it starts in.
    assert re.findall(r"^WORKDIR (\S+)$", stage, re.MULTILINE)[-1] == "/app"
    checks = re.findall(r'^ +CMD \["python", "-I", "-S", "(\w+\.py)"', stage, re.MULTILINE)
    assert len(checks) == stage.count("\nHEALTHCHECK ") == (0 if image == "sweep" else 1)
    assert all(any(name.endswith(f"/{check}") for name in copied_by(stage)) for check in checks)


def test_the_images_set_what_their_programs_rely_on() -> None:
    """`make image-check` runs the images; it needs an engine."""
    stages = read_stages()
    folder = re.findall(r"^WORKDIR (\S+)$", stages["flower"], re.MULTILINE)[-1]
    assert f"\nENV FLOWER_CONF={folder}/flowerconfig.py\n" in stages["flower"], "else it starts without a password"
    assert "worker/flowerconfig.py" in copied_by(stages["flower"])
    # Its user writes there, in compose to a volume. Railway refuses an image with the instruction VOLUME.
    (kept,) = re.findall(r"^ENV .*\bFLOWER_DB=(\S+)/[^/\s]+$", stages["flower"], re.MULTILINE)
    assert f"install -d -o clipqueue {kept}\n" in stages["flower"]
    assert compose()["flower"]["volumes"] == [f"flower-data:{kept}"]
    assert "VOLUME" not in "".join(stages.values())
    assert "\nENV CLIPQUEUE_API_HOST=0.0.0.0\n" in stages["api"], "else nobody outside of the container reaches it"
    assert "\nENV CLIPQUEUE_METRICS_HOST=0.0.0.0\n" in stages["base"]
    before, pull, after = stages["worker"].partition("clipqueue model pull\n")
    assert pull
    # The user of the image writes the weights there, and a start reads them there without a network.
    assert re.findall(r"install -d -o clipqueue (\S+)\n", before) == re.findall(r" HF_HOME=(\S+)\n", before) != []
    assert after.startswith("ENV HF_HUB_OFFLINE=1\n")
    for name in ("CLIP_MODEL", "CLIP_PRETRAINED"):
        assert f"\nARG {name}=" in before, "the platform's variable chooses the weights"
        assert f" {name}=${{{name}}} " in before, "the worker loads the weights that were pulled"


def test_workers_for_queries_do_that_alone_on_every_platform() -> None:
    started = [
        compose()["query"]["environment"]["CLIPQUEUE_SERVE"],
        *re.findall(r"CLIPQUEUE_SERVE=(\S+)", railway("railway.query.json")["deploy"]["startCommand"]),
        *re.findall(r"^query: env CLIPQUEUE_SERVE=(\S+) celery", (ROOT / "Procfile").read_text(), re.MULTILINE),
    ]
    assert started == ["queries"] * 3


def test_the_api_and_the_webhooks_get_the_time_that_they_take_to_stop() -> None:
    """The API finishes its requests, and notify its attempt."""
    longest_s = {"api": server._STOP_S, "notify": TIMEOUT_S}
    for name, seconds in longest_s.items():
        assert int(compose()[name]["stop_grace_period"].removesuffix("s")) > seconds
        assert railway(f"railway.{name}.json")["deploy"]["drainingSeconds"] > seconds


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
        "PYTHONPATH": FAKE_ENV["PYTHONPATH"],  # the model is not the subject
        "FLOWER_BASIC_AUTH": "admin:made-up",
        "FLOWER_ADDRESS": "127.0.0.1",
        "FLOWER_DB": str(tmp_path / "flower"),
    }
    password = "Basic " + base64.b64encode(b"admin:made-up").decode()
    del env["CLIPQUEUE_LOG_FORMAT"]
    # honcho adds 100 to the port for each process type. The worker ignores its port; Flower gets `port`.
    command = [str(BIN / "honcho"), "start", "--no-prefix", "-p", str(port - 100), "worker", "flower"]
    log = tmp_path / "honcho.log"
    with log.open("wb") as output:
        honcho = start_guarded(command, cwd=ROOT, env=env, stdout=output, stderr=output)
    try:

        def ask(path: str, **options: Any) -> Any:
            request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", **options)  # noqa: S310
            return urllib.request.urlopen(request, timeout=5)  # noqa: S310

        def api(path: str) -> Any:
            try:
                with ask(f"/api/{path}", headers={"Authorization": password}) as answer:
                    return json.load(answer)
            except OSError:
                return None

        workers = wait_for(lambda: api("workers?refresh=1") or None, f"Flower to see the worker: see {log}", 120)
        assert healthcheck.main("/healthcheck", str(port)) == 0, "it needs no password"
        for path in ("/", "/api/workers"):
            with pytest.raises(urllib.error.HTTPError, match="401"):
                ask(path)
        with pytest.raises(urllib.error.HTTPError, match=r"403|405"):
            ask(f"/api/worker/shutdown/{next(iter(workers))}", method="POST", headers={"Authorization": password})
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
    shown = log.read_text()
    for logger in ("celery.apps.worker", "flower.command"):
        assert f" INFO {logger} " in shown, "people read it, although no process has a terminal"
