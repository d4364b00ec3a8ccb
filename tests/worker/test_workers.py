"""Worker processes: several on one queue, and starts that must not happen."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
import redis
import torch
from safetensors.torch import load_file, save_file

from producer.cli.model import SMALL_MODEL
from producer.client.client import EmbeddingClient
from producer.local.stack import Stack
from tests.conftest import WORKER_ENV
from tests.support.commands import run_worker
from tests.support.messages import hand_made_message
from tests.support.models import SMALL_CHECKPOINT
from tests.support.pictures import encoded, photo, small_jpeg
from tests.support.servers import Answer, SocketServer
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.servers import ImageServer

Document = dict[str, Any]

NO_SUCH_DEVICE = "mps" if torch.cuda.is_available() else "cuda"
DONE = re.compile(r"job=(\S+) done batch=(\d+) ")


@pytest.fixture(scope="module")
def second_worker_log(stack: Stack, data_dir: Path) -> Path:
    """Another worker on the run's stack, under the node name that a worker has by default."""
    stack.start_worker(WORKER_ENV, name="celery")
    return data_dir / "celery.log"


def test_two_workers_share_a_queue_and_embed_each_image_once_in_batches(
    worker_log: Path,
    second_worker_log: Path,
    client: EmbeddingClient,
    images: ImageServer,
    result_of: Callable[[Any], dict[str, Any]],
    new_id: str,
) -> None:
    picture = photo()
    jobs = [
        (f"{new_id}-{n}", images.add(f"/{n}.jpg", encoded(picture.rotate(n), "JPEG", quality=80))) for n in range(200)
    ]

    assert client.enqueue_many(jobs) == 200
    assert {result_of(image_id)["embedding_job"]["status"] for image_id, _ in jobs} == {"done"}

    assert set(images.hits.values()) == {1}, "each image is downloaded once"
    logs = [worker_log.read_text(), second_worker_log.read_text()]
    shares = [[(i, int(batch)) for i, batch in DONE.findall(log) if i.startswith(new_id)] for log in logs]
    embedded = [image_id for share in shares for image_id, _ in share]
    assert sorted(embedded) == sorted(image_id for image_id, _ in jobs), "each image is embedded once"
    for share in shares:
        assert len(share) >= 20, "both workers work"
        assert max(batch for _, batch in share) > 1, "images meet in batches"


def start_worker(stack: Stack, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a worker on database 2, which no other test uses, until it ends by itself."""
    return run_worker(**{**stack.environment(), "REDIS_URL": stack.redis_url.removesuffix("0") + "2", **env})


@pytest.mark.parametrize("pretrained", ["/no/such/weights.pt", "laion2b_typo"])
def test_a_worker_without_weights_does_not_start_and_takes_no_job(
    pretrained: str, stack: Stack, broker: redis.Redis, new_id: str
) -> None:
    broker.select(2)
    message = hand_made_message({"image_id": new_id, "url": "http://127.0.0.1:1/a.jpg"})
    broker.delete("images")
    broker.lpush("images", message)
    done = start_worker(stack, CLIP_MODEL="ViT-B-32-quickgelu", CLIP_PRETRAINED=pretrained)
    assert done.returncode == 1
    assert f"CLIP_PRETRAINED={pretrained} cannot be loaded" in done.stderr
    assert "Traceback" not in done.stderr
    assert broker.lrange("images", 0, -1) == [message.encode()]


@pytest.mark.parametrize(
    ("env", "complaint"),
    [
        ({"CLIPQUEUE_CONCURRENCY": "many"}, "CLIPQUEUE_CONCURRENCY"),
        ({"CLIPQUEUE_VISIBILITY_TIMEOUT_S": "30"}, "CLIPQUEUE_VISIBILITY_TIMEOUT_S"),
        ({**SMALL_MODEL, "MONGODB_URI": "mongodb://user:hunter2@host:port/"}, "MONGODB_URI cannot be read"),
        ({**SMALL_MODEL, "CLIPQUEUE_COLLECTION": "a$b"}, "CLIPQUEUE_COLLECTION=a$b cannot be used"),
        ({**SMALL_MODEL, "CLIPQUEUE_DEVICE": NO_SUCH_DEVICE}, f"CLIPQUEUE_DEVICE={NO_SUCH_DEVICE} cannot be used"),
    ],
)
def test_a_worker_with_wrong_settings_names_them(env: dict[str, str], complaint: str, stack: Stack) -> None:
    done = start_worker(stack, **env)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


def test_the_application_alone_needs_neither_the_model_nor_mongodb() -> None:
    """Flower and the health check import it; they must not pay for torch, nor need it installed."""
    script = (
        "import sys; from worker.app import app; app.loader.import_default_modules();"
        "print('clipqueue.embed_image' in app.tasks, {'torch', 'motor', 'pymongo', 'PIL', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True set()"


def test_the_health_check_follows_the_worker_of_this_host(stack: Stack, second_worker_log: Path) -> None:
    check = [sys.executable, "-m", "worker.health"]
    env = {**os.environ, **stack.environment()}
    assert subprocess.run(check, env=env, check=False, timeout=60).returncode == 0

    env["REDIS_URL"] = stack.redis_url.removesuffix("0") + "3"  # where no worker is
    absent = subprocess.run(check, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert absent.returncode == 1
    assert f"celery@{socket.gethostname()} did not answer" in absent.stderr

    env["REDIS_URL"] = "redis://:hunter2@127.0.0.1:1/0"
    away = subprocess.run(check, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert away.returncode == 1
    assert "Redis is unavailable" in away.stderr
    assert "Traceback" not in away.stderr
    assert "hunter2" not in away.stderr


def test_a_vector_that_is_no_vector_is_never_written(tmp_path: Path, images: ImageServer, new_id: str) -> None:
    """Weights that were spoiled: the job fails, and an earlier vector stays."""
    weights = load_file(SMALL_CHECKPOINT)
    weights["visual.head.proj.weight"].fill_(float("nan"))
    save_file(weights, tmp_path / "spoiled.safetensors")
    env = {**WORKER_ENV, "CLIP_PRETRAINED": str(tmp_path / "spoiled.safetensors")}
    url = images.add("/a.jpg", small_jpeg())
    with Stack(tmp_path) as stack, pymongo.MongoClient[Document](stack.mongodb_uri) as mongo:
        stack.start_servers()
        stack.start_worker(env)
        collection = mongo["clipqueue"]["images"]
        collection.insert_one({"_id": f"{new_id}-old", "embedding": [0.6, 0.8]})
        with EmbeddingClient(stack.redis_url) as client:
            client.enqueue_many((f"{new_id}-{age}", url) for age in ("old", "new"))
        wait_for(lambda: collection.count_documents({"embedding_job.status": "failed"}) == 2, "both jobs to fail")
        found = {document["_id"]: document for document in collection.find()}
    old, new = found[f"{new_id}-old"], found[f"{new_id}-new"]
    assert old["embedding"] == [0.6, 0.8]
    assert "embedding" not in new
    for document in (old, new):
        job = document["embedding_job"]
        assert (job["error"]["code"], job["error"]["stage"], job["attempts"]) == ("bad_vector", "encode", 1)


def test_retries_in_memory_are_bounded(tmp_path: Path, images: ImageServer, new_id: str) -> None:
    """An outage of one host must not pull the whole queue into a worker: twice its threads is the most."""
    env = {**WORKER_ENV, "CLIPQUEUE_CONCURRENCY": "4", "CLIPQUEUE_RETRY_BASE_S": "20", "CLIPQUEUE_RETRY_CAP_S": "20"}
    busy = images.add("/busy.jpg", Answer(b"", 503))
    with Stack(tmp_path) as stack, redis.Redis.from_url(stack.redis_url) as broker:
        stack.start_servers()
        stack.start_worker(env)
        with EmbeddingClient(stack.redis_url) as client:
            client.enqueue_many((f"{new_id}-{n}", busy) for n in range(100))
        wait_for(lambda: images.hits["/busy.jpg"] >= 100, "every job to be tried once")
        wait_for(lambda: broker.hlen("unacked") == 8, "retries to wait in the worker, up to the bound")
        assert broker.llen("images") == 92, "the others wait in Redis"


def test_a_wave_of_retries_costs_no_threads(tmp_path: Path, images: ImageServer, new_id: str) -> None:
    """Many more than may wait in memory; when they are over, as many images are in flight as before."""
    env = {**WORKER_ENV, "CLIPQUEUE_CONCURRENCY": "4", "CLIPQUEUE_RETRY_BASE_S": "1", "CLIPQUEUE_RETRY_CAP_S": "1"}
    busy, picture = images.add("/busy.jpg", Answer(b"", 503)), small_jpeg()
    together = threading.Barrier(4)

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        together.wait(20)  # none is answered before four ask
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(picture) + picture)

    with (
        SocketServer(serve) as server,
        Stack(tmp_path) as stack,
        pymongo.MongoClient[Document](stack.mongodb_uri) as mongo,
        EmbeddingClient(stack.redis_url) as client,
    ):
        stack.start_servers()
        stack.start_worker({**env, "CLIPQUEUE_FETCH_TOTAL_S": "20", "CLIPQUEUE_FETCH_READ_S": "20"})
        client.enqueue_many((f"{new_id}-busy-{n}", busy) for n in range(60))
        failed = {"embedding_job.status": "failed"}
        collection = mongo["clipqueue"]["images"]
        wait_for(lambda: collection.count_documents(failed) == 60, "every retry to be spent")
        client.enqueue_many((f"{new_id}-{n}", server.url) for n in range(8))
        done = {"embedding_job.status": "done"}
        wait_for(lambda: collection.count_documents(done) == 8, "four images at once, twice")


def test_a_model_that_is_slow_for_its_deadline_gets_fewer_threads(tmp_path: Path) -> None:
    """The pool itself is smaller, as Celery's banner says, so no image waits longer than it may."""
    with Stack(tmp_path) as stack:
        stack.start_servers()
        stack.start_worker({**WORKER_ENV, "CLIPQUEUE_ENCODE_S": "0.001"})
    log = (tmp_path / "worker.log").read_text()
    assert "images in flight instead of 64" in log
    threads = re.search(r"concurrency: (\d+) \(thread\)", log)
    assert threads is not None
    assert int(threads[1]) < 64


def test_the_command_line_may_ask_for_fewer_threads(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        stack.start_servers()
        command = [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "-c", "3"]
        stack.start("few", command, env={**stack.environment(), **WORKER_ENV})
        log = tmp_path / "few.log"
        wait_for(lambda: "concurrency: 3 (thread)" in log.read_text(), "Celery's banner")


def test_while_mongodb_is_away_a_worker_takes_nothing_and_keeps_what_it_has(
    tmp_path: Path, images: ImageServer, new_id: str
) -> None:
    """The server is frozen for longer than the visibility timeout: no job is given to another, none is spent."""
    log = tmp_path / "worker.log"
    env = {
        **WORKER_ENV,
        "CLIPQUEUE_CONCURRENCY": "8",
        "CLIPQUEUE_FETCH_TOTAL_S": "1",
        "CLIPQUEUE_DECODE_S": "1",
        "CLIPQUEUE_ENCODE_S": "1",
        "CLIPQUEUE_STORE_S": "0.5",
        "CLIPQUEUE_VISIBILITY_TIMEOUT_S": "8",
        "CLIPQUEUE_RESTORE_INTERVAL_S": "1",
    }
    jobs = [(f"{new_id}-{n}", images.add(f"/{n}.jpg", small_jpeg(n))) for n in range(40)]
    with (
        Stack(tmp_path) as stack,
        pymongo.MongoClient[Document](stack.mongodb_uri) as mongo,
        redis.Redis.from_url(stack.redis_url) as broker,
    ):
        stack.start_servers()
        stack.start_worker(env)
        pid = int((tmp_path / "mongo" / "server.pid").read_text())
        os.kill(pid, signal.SIGSTOP)
        try:
            with EmbeddingClient(stack.redis_url) as client:
                client.enqueue_many(jobs)
            wait_for(lambda: "MongoDB unavailable; consumption paused" in log.read_text(), "the worker to notice")
            wait_for(lambda: json.loads(str(note(broker)))["store_away"], "the worker to say so on Redis")
            held = set(broker.hkeys("unacked"))
            assert 8 <= len(held) <= 9, "those in its threads, and one that was on its way"
            time.sleep(10)
            assert set(broker.hkeys("unacked")) == held
            assert broker.llen("images") == 40 - len(held)
        finally:
            os.kill(pid, signal.SIGCONT)
        collection = mongo["clipqueue"]["images"]
        wait_for(lambda: collection.count_documents({}) == 40, "every job to be done")
        found = list(collection.find())
    assert {(document["embedding_job"]["status"], document["embedding_job"]["attempts"]) for document in found} == {
        ("done", 1)
    }
    assert set(images.hits.values()) == {1}, "nothing is downloaded anew"
    assert "Traceback" not in log.read_text()
    assert "MongoDB is available again" in log.read_text()


def note(broker: redis.Redis) -> Any:
    """What the only worker says of itself."""
    (key,) = broker.scan_iter("clipqueue:worker:*")
    return (broker.get(key) or b"").decode()  # type: ignore[union-attr]


def test_a_worker_that_is_process_1_stops_when_it_is_told_to(tmp_path: Path) -> None:
    """The kernel gives process 1 of a container only the signals that it has handlers for."""
    unshare = [shutil.which("unshare") or "", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
    if not unshare[0] or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("this machine allows no process namespaces")
    worker = [sys.executable, "-m", "celery", "-A", "tests.chaos.worker_app", "worker"]
    log = tmp_path / "first.log"
    with Stack(tmp_path) as stack:
        stack.start_servers()
        outside = stack.start("first", [*unshare, *worker], env={**stack.environment(), **WORKER_ENV})
        wait_for(lambda: " ready." in log.read_text(), "the worker to be ready")
        children = Path(f"/proc/{outside.pid}/task/{outside.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTERM)
        assert outside.wait(30) == 0
    assert "Warm shutdown" in log.read_text()
