"""`clipqueue up`: jobs, signals, ports and folders."""

from __future__ import annotations

import os
import re
import signal
import socket
from functools import partial
from typing import TYPE_CHECKING

import psutil
import pytest
import requests
from ephemeral_port_reserve import reserve

from producer.local.claims import StackError, claim_port, prefer_port
from producer.local.logs import shown
from tests.producer.local.up import ENV, FAKE_ENV, WITHOUT_MODEL, is_open, run_up, still_running
from tests.support.commands import invoke, run
from tests.support.pictures import small_jpeg
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.producer.local.up import Up
    from tests.support.servers import ImageServer


def finished(image_id: str, env: dict[str, str]) -> str:
    """Return the line that `clipqueue status` prints for an image, or nothing while it has no result."""
    shown = invoke("status", image_id, **env).stdout
    return shown if shown.split("\t")[1] in ("done", "failed") else ""


def assert_stopped_by(number: signal.Signals, up: Up) -> str:
    """Stop `clipqueue up` by a signal, check that no process of it is left, and return the rest of its messages."""
    processes = psutil.Process(up.process.pid).children(recursive=True)
    up.process.send_signal(number)
    _, errors = up.process.communicate(timeout=120)
    assert up.process.returncode == 0
    assert "stopped" in errors
    assert not any(is_open(port) for port in up.ports())
    wait_for(lambda: not still_running(processes), "all processes to end")
    return errors


@pytest.mark.chaos
def test_up_runs_jobs_until_sigterm_stops_everything(images: ImageServer) -> None:
    """Without settings, the model is the small one that ships with the project."""
    good, bad = images.add("/good.jpg", small_jpeg()), images.add("/bad.jpg", b"not a photo")
    with run_up("--api-port", "0", "--verbose", env=WITHOUT_MODEL) as up:
        enqueued = invoke("enqueue", good, bad, **up.exports)
        assert enqueued.returncode == 0
        done, failed = (
            wait_for(partial(finished, one, up.exports), "the job to end") for one in enqueued.stdout.split()
        )
        assert "done\temoji-clip/emoji-clip.safetensors@" in done
        assert "unsupported_format at decode" in failed
        errors = assert_stopped_by(signal.SIGTERM, up)
    assert re.search(r"INFO worker.telemetry.job_log job=\S+ done", errors)


def test_up_runs_the_chosen_model_and_the_page_until_ctrl_c_stops_everything(
    images: ImageServer, tmp_path: Path
) -> None:
    """The option overrides the environment, a worker for queries alone is no stack, and a failed job is reported.

    The name of the model is the subject, and the encoder a fake.
    """
    url, port = images.add("/a.jpg", small_jpeg()), reserve()
    options = ("--model", "ViT-S-32-alt/untrained", "--api-port", str(port), "--data-dir", str(tmp_path))
    env = {
        **FAKE_ENV,
        "CLIP_MODEL": "no-such-model",
        "CLIPQUEUE_SERVE": "queries",
        "CELERY_BROKER_URL": "redis://no-such/0",
    }
    with run_up(*options, env={**env, "CLIPQUEUE_COLLECTION": "pictures"}) as up:
        page = up.exports["CLIPQUEUE_URL"]
        assert page == f"http://127.0.0.1:{port}"
        assert requests.get(page + "/v1/overview", timeout=30).json()["models"] == ["ViT-S-32-alt/untrained"]
        assert invoke("enqueue", url, "--id", "a", **up.exports).returncode == 0
        done = wait_for(lambda: finished("a", up.exports), "the image to be done")
        assert invoke("enqueue", images.url + "/gone.jpg", "--id", "b", **up.exports).returncode == 0
        wait_for(lambda: finished("b", up.exports), "the job to fail")
        errors = assert_stopped_by(signal.SIGINT, up)
    assert "ViT-S-32-alt/untrained" in done
    shown = "".join(up.lines)
    assert "clipqueue enqueue https://" in shown
    assert f"open {page} " in shown
    assert f"logs: {tmp_path}" in shown
    assert "note: from your shell, these apply here: CLIPQUEUE_COLLECTION, CLIPQUEUE_PRECISION\n" in shown
    assert "these do not apply here: CELERY_BROKER_URL, CLIPQUEUE_SERVE, CLIP_MODEL, CLIP_PRETRAINED\n" in shown
    # Quiet: the warnings and errors of the log, and nothing else.
    log = (tmp_path / "worker.log").read_text()
    assert "job=b failed stage=fetch code=http_404" in errors
    assert "job=a done" in log
    for noise in ("INFO", "superuser privileges", "[queues]", "job=a"):
        assert noise not in shown + errors, noise
    assert "superuser privileges" not in log


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_does_not_interrupt_the_stop(by: signal.Signals) -> None:
    with run_up("--no-worker") as up:
        up.process.send_signal(by)
        up.process.send_signal(signal.SIGINT)
        up.process.communicate(timeout=120)
        assert up.process.returncode == 0
        assert not any(is_open(port) for port in up.ports())


def test_a_port_that_is_taken_is_replaced_only_where_it_was_not_asked_for() -> None:
    port = reserve()
    assert prefer_port(port) == port
    with socket.create_server(("127.0.0.1", port)):
        assert prefer_port(port) != port
        with pytest.raises(StackError, match=f"port {port} cannot be used .*; choose another with --api-port"):
            claim_port(port, "--api-port")


def test_up_ends_and_names_a_part_that_has_ended() -> None:
    with run_up("--no-worker") as up:
        with up.redis() as client:
            os.kill(client.info()["process_id"], signal.SIGKILL)
        _, errors = up.process.communicate(timeout=120)
        assert up.process.returncode == 1
        assert "clipqueue: redis has ended (exit code -9)" in errors
        assert not any(is_open(port) for port in up.ports())


def test_up_ends_with_the_reason_of_a_worker_that_does_not_start() -> None:
    """`tests/worker/test_start.py` shows why a worker does not start."""
    done = run("up", **{**ENV, "CLIPQUEUE_DEVICE": "cuda:one"})
    assert done.returncode == 1
    assert "CLIPQUEUE_DEVICE" in done.stderr
    assert "clipqueue: worker has ended (exit code 1)" in done.stderr


def test_two_stacks_do_not_share_a_folder(tmp_path: Path) -> None:
    with run_up("--no-worker", "--data-dir", str(tmp_path)):
        second = run("up", "--no-worker", "--data-dir", str(tmp_path))
    assert second.returncode == 1
    assert f"{tmp_path} is in use" in second.stderr


def test_up_uses_the_given_port_and_folder(tmp_path: Path) -> None:
    taken = reserve()
    with socket.create_server(("127.0.0.1", taken)):
        done = run("up", "--redis-port", str(taken))
    assert done.returncode == 1
    assert f"port {taken} cannot be used" in done.stderr

    options = ("--no-worker", "--redis-port", str(taken), "--data-dir", str(tmp_path / "new"))
    for expected in (0, 1):
        with run_up(*options) as up:
            assert up.ports()[0] == taken
            with up.redis() as client:
                assert client.llen("images") == expected
                client.lpush("images", "kept")
            up.process.terminate()
            up.process.communicate(timeout=120)


def test_the_lines_that_up_shows_are_warnings_and_errors_or_all_with_verbose(tmp_path: Path) -> None:
    old, new = tmp_path / "worker.log", tmp_path / "api.log"
    old.write_text("2026-11-28 10:00:00,000 ERROR worker.tasks of an earlier run\n")
    lines = [
        " -------------- worker@host v5.7.0",
        "2026-11-28 10:00:01,000 INFO worker.telemetry.job_log job=a done",
        "2026-11-28 10:00:02,000 WARNING worker.tasks job=b failed",
        "2026-11-28 10:00:03,000 CRITICAL worker.app no such device",
    ]
    for verbose, expected in ((False, lines[2:]), (True, lines)):
        seen: list[str] = []
        with shown([old, new], seen.append, verbose=verbose), old.open("a") as log:
            log.write("\n".join(lines[:3]) + "\n")
            new.write_text(lines[3] + "\nincomplete")
        assert sorted(seen) == sorted(expected)
        new.unlink()
