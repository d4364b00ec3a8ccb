"""`clipqueue serve`: it answers, stops cleanly, and does not start with settings that would be unsafe."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

import requests

from tests.support.api import KEY
from tests.support.commands import COMMAND, invoke, start

if TYPE_CHECKING:
    from producer.local.stack import Stack


def test_it_answers_over_ipv6_and_ipv4_until_it_is_stopped(stack: Stack) -> None:
    """The host `::` is for private networks that have IPv6 alone. asyncio would refuse IPv4 there."""
    env = {**stack.environment(), "CLIPQUEUE_API_KEYS": KEY, "CLIPQUEUE_API_HOST": "::", "PORT": "0"}
    with start([*COMMAND, "serve"], env) as process:
        assert process.stdout is not None
        url = process.stdout.readline().partition("answering at ")[2].strip()
        for host in ("[::1]", "127.0.0.1"):
            answer = requests.get(url.replace("[::]", host) + "/healthz", timeout=20)
            assert answer.status_code == 200
        url = url.replace("[::]", "[::1]")
        refused = requests.get(url + "/v1/models?secret", timeout=20)
        assert refused.status_code == 401
        process.send_signal(signal.SIGTERM)
        log, errors = process.communicate(timeout=120)
    assert process.returncode in {0, -signal.SIGTERM}
    assert errors == "", "a platform shows it as an error"
    assert "/healthz" not in log, "a platform asks every few seconds"
    assert "GET /v1/models 401" in log
    assert "secret" not in log
    assert "Traceback" not in log


def test_without_keys_it_does_not_listen_for_others() -> None:
    done = invoke("serve", CLIPQUEUE_API_HOST="0.0.0.0")
    assert done.returncode == 1
    assert "CLIPQUEUE_API_KEYS is needed" in done.stderr


def test_a_setting_that_cannot_be_used_is_named() -> None:
    done = invoke("serve", CLIPQUEUE_API_KEYS="hunter2", REDIS_URL="redis://:hunter2@h:port")
    assert done.returncode == 1
    assert "REDIS_URL" in done.stderr
    assert "CLIPQUEUE_API_KEYS" in done.stderr
    assert "hunter2" not in done.stderr
    assert "not a valid collection" in invoke("serve", CLIPQUEUE_COLLECTION="a$b").stderr


def test_a_port_in_use_is_said(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        env = {**stack.environment(), "CLIPQUEUE_API_PORT": port}
        with start([*COMMAND, "serve"], env) as process:
            log, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "address already in use" in log
