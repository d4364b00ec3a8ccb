"""`clipqueue up` and `clipqueue demo`, run as a newcomer would."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import redis
from ephemeral_port_reserve import reserve

from producer.cli.model import SMALL_MODEL
from producer.local.demo import QUERIES
from tests.support.commands import COMMAND, run
from tests.support.pictures import small_jpeg
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.servers import ImageServer

ENV = {**os.environ, **SMALL_MODEL, "CLIPQUEUE_PRECISION": "fp32", "COLUMNS": "140"}


def test_two_demos_at_once_end_with_all_samples_done_and_found() -> None:
    """Without any setting: the model is the one that ships with the project."""
    env = {key: value for key, value in ENV.items() if key not in SMALL_MODEL}
    demos = [
        subprocess.Popen([*COMMAND, "demo"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    for demo in demos:
        output, _ = demo.communicate(timeout=180)
        assert demo.returncode == 0, output
        assert "100 of 100 done" in output
        assert re.search(r"\w\.png +done +PNG +64x64 +\d+ +\S+ +0\.\d{3}", output), output
        assert re.search(r"\w\.jpg +done +JPEG +\d+x\d+ +\d+ +\S+ +[01]\.\d{3}", output), output
        for query, name in QUERIES.items():
            assert re.search(rf"^ ?{query} .*\b{name} 0\.\d\d", output, re.MULTILINE), output


def test_a_demo_of_urls_takes_each_once_and_exits_with_1_if_one_fails(images: ImageServer) -> None:
    """Whatever this shell has set for other workers; and data is not markup."""
    url = images.add("/photo.jpg", b"not a photo")
    env = {**ENV, "CLIPQUEUE_COLLECTION": "elsewhere", "CLIPQUEUE_FETCH_PORTS": "443"}
    done = run("demo", url, url, images.url + "/[bold].jpg?sig=secret", **env)
    assert done.returncode == 1
    assert "0 of 2 done" in done.stdout, done.stderr
    assert "[bold].jpg" in done.stdout
    assert "unsupported_format" in done.stdout
    assert "http_404" in done.stdout
    assert "secret" not in done.stdout


def test_a_demo_of_something_that_is_no_url_says_so_at_once() -> None:
    done = run("demo", "cat.jpg")
    assert (done.returncode, done.stdout) == (1, "")
    assert "must start with http:// or https://" in done.stderr


@contextmanager
def running_up(*options: str, until: str = "ready", env: dict[str, str] | None = None) -> Iterator[Up]:
    process = subprocess.Popen(
        [*COMMAND, "up", *options],
        env=env or ENV,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stdout is not None
    try:
        lines: list[str] = []
        for line in process.stderr:
            lines.append(line)
            if line.startswith(until):
                break
        else:
            pytest.fail("".join(lines))
        exports = dict(process.stdout.readline().removeprefix("export ").strip().split("=", 1) for _ in range(2))
        yield Up(process, exports)
    finally:
        process.terminate()  # not kill: it has servers of its own to stop
        process.communicate(timeout=60)


class Up:
    """A running `clipqueue up`: its process, and what it printed to export."""

    def __init__(self, process: subprocess.Popen[str], exports: dict[str, str]) -> None:
        self.process = process
        self.exports = exports

    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.exports["REDIS_URL"])

    def ports(self) -> list[int]:
        return [int(re.findall(r":(\d+)/", url)[0]) for url in self.exports.values()]


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def finished(image_id: str, env: dict[str, str]) -> str:
    """Return what `clipqueue status` prints of an image, or nothing while it has no result."""
    shown = run("status", image_id, **env).stdout
    return shown if shown.split("\t")[1] in ("done", "failed") else ""


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_up_runs_jobs_until_it_is_stopped_and_stops_everything(by: signal.Signals, images: ImageServer) -> None:
    """With the small model, since none is chosen."""
    good, bad = images.add("/good.jpg", small_jpeg()), images.add("/bad.jpg", b"not a photo")
    with running_up(env={key: value for key, value in ENV.items() if key not in SMALL_MODEL}) as up:
        enqueued = run("enqueue", good, bad, **up.exports)
        assert enqueued.returncode == 0
        done, failed = (
            wait_for(partial(finished, one, up.exports), "the job to end") for one in enqueued.stdout.split()
        )
        assert "done\temoji-clip/emoji-clip.safetensors@" in done
        assert "unsupported_format at decode" in failed
        up.process.send_signal(by)
        _, errors = up.process.communicate(timeout=60)
        assert up.process.returncode == 0
        assert "stopped" in errors
        assert not any(is_open(port) for port in up.ports())


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_two_signals_at_once_and_a_closed_terminal_leave_no_server_behind(by: signal.Signals) -> None:
    with running_up("--no-worker") as up:
        up.process.send_signal(by)
        up.process.send_signal(signal.SIGINT)
        up.process.communicate(timeout=60)
        assert up.process.returncode == 0
        assert not any(is_open(port) for port in up.ports())


def test_up_ends_when_a_part_dies_and_names_it() -> None:
    with running_up("--no-worker") as up:
        with up.redis() as client:
            os.kill(client.info()["process_id"], signal.SIGKILL)
        _, errors = up.process.communicate(timeout=60)
        assert up.process.returncode == 1
        assert "clipqueue: redis has ended (exit code -9)" in errors
        assert not any(is_open(port) for port in up.ports())


def test_up_without_weights_ends_with_the_workers_reason() -> None:
    done = run("up", **{**ENV, "CLIP_PRETRAINED": "/no/such/weights.pt"})
    assert done.returncode == 1
    assert "cannot be loaded, so this worker does not start" in done.stderr
    assert "clipqueue: worker has ended (exit code 1)" in done.stderr


def test_up_runs_the_model_it_is_told(images: ImageServer) -> None:
    """Whatever this shell has set."""
    url = images.add("/a.jpg", small_jpeg())
    with running_up("--model", "ViT-S-32-alt/untrained", env={**ENV, "CLIP_MODEL": "no-such-model"}) as up:
        assert run("enqueue", url, "--id", "a", **up.exports).returncode == 0
        done = wait_for(lambda: finished("a", up.exports), "the image to be done")
    assert "ViT-S-32-alt/untrained" in done


def test_two_stacks_do_not_share_a_folder(tmp_path: Path) -> None:
    with running_up("--no-worker", "--data-dir", str(tmp_path)):
        second = run("up", "--no-worker", "--data-dir", str(tmp_path))
    assert second.returncode == 1
    assert f"{tmp_path} is in use" in second.stderr


def test_up_takes_ports_and_keeps_its_data_where_it_is_told(tmp_path: Path) -> None:
    taken = reserve()
    with socket.create_server(("127.0.0.1", taken)):
        done = run("up", "--redis-port", str(taken))
    assert done.returncode == 1
    assert f"port {taken} cannot be used" in done.stderr

    options = ("--no-worker", "--redis-port", str(taken), "--data-dir", str(tmp_path / "new"))
    for expected in (0, 1):
        with running_up(*options) as up:
            assert up.ports()[0] == taken
            with up.redis() as client:
                assert client.llen("images") == expected
                client.lpush("images", "kept")
            up.process.terminate()
            up.process.communicate(timeout=60)
