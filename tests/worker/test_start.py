"""The start of a worker process: errors that stop it, and what it needs."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from producer.cli.model import SMALL_MODEL
from producer.local.guardian import start_guarded
from tests.support.commands import Completed, run_worker
from tests.support.doctor import run_doctor
from tests.support.messages import hand_made_message
from tests.support.redis_servers import port_of, valkey
from tests.support.waiting import wait_for
from tests.support.workers import FAKE_MODEL, worker_command

if TYPE_CHECKING:
    import redis

    from producer.local.stack import Stack


def start_worker(stack: Stack, **env: str) -> Completed:
    """Run a worker on database 2, which no other test uses, until it exits."""
    return run_worker(**{**stack.environment(), "REDIS_URL": stack.redis_url.removesuffix("0") + "2", **env})


def test_a_worker_without_weights_exits_and_consumes_nothing(stack: Stack, broker: redis.Redis, new_id: str) -> None:
    """`tests/worker/encode/test_weights.py` shows the same error for every other wrong model."""
    broker.select(2)
    message = hand_made_message({"image_id": new_id, "url": "http://127.0.0.1:1/a.jpg"})
    broker.delete("images")
    broker.lpush("images", message)
    done = start_worker(stack, CLIP_MODEL="emoji-clip", CLIP_PRETRAINED="/no/such/weights.pt")
    assert done.returncode == 1
    assert "CLIP_PRETRAINED=/no/such/weights.pt cannot be loaded" in done.output
    assert "Traceback" not in done.output
    assert broker.lrange("images", 0, -1) == [message.encode()]


@pytest.mark.parametrize(
    ("env", "complaint"),
    [
        ({"CLIPQUEUE_CONCURRENCY": "many"}, "CLIPQUEUE_CONCURRENCY"),
        ({"CLIPQUEUE_DEVICE": "cuda:one"}, "CLIPQUEUE_DEVICE"),
        ({"CLIPQUEUE_VISIBILITY_TIMEOUT_S": "30"}, "CLIPQUEUE_VISIBILITY_TIMEOUT_S"),
        ({"REDIS_URL": "redis://:hunter2@host?keyPrefix=x"}, "REDIS_URL is invalid: the option keyPrefix"),
        ({"MONGODB_URI": "mongodb://user:hunter2@host:port/"}, "MONGODB_URI is invalid"),
        ({"MONGODB_URI": "mongodb://user:hunter2@host/?tlsCAFile=/no/such"}, "its option tlsCAFile cannot be read"),
        ({"CLIPQUEUE_COLLECTION": "a$b"}, "CLIPQUEUE_COLLECTION=a$b cannot be used"),
        ({"CLIPQUEUE_METRICS_PORT": "70000"}, "CLIPQUEUE_METRICS_PORT must be a number from 0 to 65535"),
    ],
)
def test_a_worker_with_invalid_settings_names_them_before_it_imports_torch(
    env: dict[str, str], complaint: str, stack: Stack
) -> None:
    """The import of torch takes many times as long as all else until the error."""
    done = start_worker(stack, **SMALL_MODEL, **env, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 1
    assert complaint in done.output
    assert "Traceback" not in done.output
    assert "hunter2" not in done.output
    imported = set(re.findall(r"^import time: .*\| +(\S+)$", done.output, re.MULTILINE))
    assert "celery" in imported
    assert "torch" not in imported


def test_a_worker_and_the_doctor_refuse_a_cluster(stack: Stack, tmp_path: Path) -> None:
    with valkey(tmp_path / "server", "cluster-enabled yes") as server:
        url = f"redis://127.0.0.1:{port_of(server)}/0"
        done = start_worker(stack, **SMALL_MODEL, REDIS_URL=url)
        found = run_doctor(stack, REDIS_URL=url)
    reason = f"Redis at 127.0.0.1:{port_of(server)} cannot be used: a Redis Cluster is not supported"
    assert done.returncode == 1
    assert reason in done.output
    assert "Traceback" not in done.output
    assert not found.is_ok["redis"]
    assert reason in found.text["redis"]


def test_the_application_imports_neither_the_model_nor_mongodb() -> None:
    """Flower and the health check import it. They must not load torch, which may not even be installed there."""
    script = (
        "import sys; from worker.app import app; app.loader.import_default_modules();"
        "print('clipqueue.embed_image' in app.tasks, {'torch', 'motor', 'pymongo', 'PIL', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True set()"


def test_a_worker_that_is_process_1_stops_on_sigterm(own: Stack, tmp_path: Path) -> None:
    """The kernel delivers only those signals to process 1 of a container that it has handlers for."""
    unshare = [shutil.which("unshare") or "", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
    if not unshare[0] or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("this machine allows no process namespaces")
    log = tmp_path / "first.log"
    with log.open("wb") as output:
        command = [*unshare, *worker_command("first")]
        unshared = start_guarded(command, env={**own.environment(), **FAKE_MODEL}, stdout=output, stderr=output)
    try:
        wait_for(lambda: " ready." in log.read_text(), "the worker to be ready")
        children = Path(f"/proc/{unshared.pid}/task/{unshared.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTERM)
        assert unshared.wait(60) == 0
    finally:
        unshared.kill()
        unshared.wait()
    assert "Warm shutdown" in log.read_text()
