"""The health check of the images with an HTTP server: quick, and right about what answers."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ephemeral_port_reserve import reserve

from producer.api import healthcheck

if TYPE_CHECKING:
    from collections.abc import Iterator


class Answers(BaseHTTPRequestHandler):
    """Answers /healthz with 200 and everything else with 503."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Write nothing."""


class IPv6Server(HTTPServer):
    """Listens on IPv6 alone."""

    address_family = socket.AF_INET6


@contextmanager
def serve(server: HTTPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("server", "host"), [(HTTPServer, "127.0.0.1"), (IPv6Server, "::1")])
def test_an_answer_of_200_is_healthy(server: type[HTTPServer], host: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(server((host, 0), Answers)) as port:
        assert healthcheck.main("/healthz", str(port)) == 0
        assert capsys.readouterr().err == ""
        assert healthcheck.main("/other", str(port)) == 1
    assert capsys.readouterr().err == "/other answers b'HTTP/1.0 503 Service Unavailable'\n"


def test_no_answer_is_unhealthy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    port = str(reserve())
    assert healthcheck.main("/healthz", port) == 1
    assert f"port {port} gives no answer: " in capsys.readouterr().err
    monkeypatch.setattr(healthcheck, "_WAIT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert healthcheck.main("/healthz", str(silent.getsockname()[1])) == 1
    assert "gives no answer: timed out" in capsys.readouterr().err


def test_the_first_variable_that_is_set_names_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(HTTPServer(("127.0.0.1", 0), Answers)) as port:
        monkeypatch.setenv("CLIPQUEUE_API_PORT", "")
        monkeypatch.setenv("PORT", str(port))
        assert healthcheck.main("/healthz", "CLIPQUEUE_API_PORT", "PORT", "1") == 0
        monkeypatch.setenv("CLIPQUEUE_API_PORT", str(reserve()))
        assert healthcheck.main("/healthz", "CLIPQUEUE_API_PORT", "PORT", str(port)) == 1


def test_a_copy_runs_without_packages(tmp_path: Path) -> None:
    """In a process of its own, started as in the image: what it imports is what it costs."""
    (tmp_path / "healthcheck.py").write_bytes(Path(healthcheck.__file__).read_bytes())
    command = [sys.executable, "-I", "-S", "-X", "importtime", "healthcheck.py", "/healthz", str(reserve())]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "gives no answer" in done.stderr
    imported = set(re.findall(r"^import time: .*\| +(\S+)$", done.stderr, re.MULTILINE))
    assert "socket" in imported
    assert not imported & {"producer", "site", "json", "ssl", "http.client", "urllib.request", "email"}
