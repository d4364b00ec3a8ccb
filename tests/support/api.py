"""Runs the HTTP API in a thread of the test, on a free port of this machine."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests

from producer.api.server import make_server
from producer.api.settings import ApiSettings
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    import uvicorn

    from producer.api.telemetry import ApiTelemetry

KEY = "both-0123456789abcdef"
SEARCH_KEY = "search-0123456789abcdef"
ENQUEUE_KEY = "enqueue-0123456789abcdef"
KEYS = f"{KEY},{SEARCH_KEY}:search,{ENQUEUE_KEY}:enqueue"


@dataclass(frozen=True)
class Api:
    """A running API. Requests have a key that may do everything, unless they bring headers of their own."""

    url: str
    server: uvicorn.Server

    def in_progress(self) -> int:
        """Return how many requests are not answered yet."""
        return len(self.server.server_state.tasks)

    def stop(self) -> None:
        """Stop without the ten seconds that requests in progress have to finish."""
        self.server.config.timeout_graceful_shutdown = 0
        self.server.should_exit = True

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"authorization": f"Bearer {KEY}", **options.pop("headers", {})}
        return requests.request(method, self.url + path, headers=headers, timeout=30, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.request("POST", path, **options)


@contextmanager
def running_api(**settings: Any) -> Iterator[Api]:
    """Run the API for a block, with these environment variables as `ApiSettings` names them, and with `telemetry`."""
    urls: list[str] = []
    telemetry: ApiTelemetry | None = settings.pop("telemetry", None)
    chosen = ApiSettings(**{"CLIPQUEUE_API_PORT": 0, "api_keys": KEYS, "api_host": "127.0.0.1", **settings})
    server = make_server(chosen, urls.append, telemetry)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: urls or not thread.is_alive(), "the API to start")
        assert urls, "the API did not start"
        yield Api(urls[0], server)
    finally:
        server.should_exit = True
        thread.join(30)
