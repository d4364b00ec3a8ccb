"""The metrics of the HTTP API: its requests by route, never by path, which may hold an id or a URL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram, disable_created_metrics

from producer.telemetry.process import process_registry

if TYPE_CHECKING:
    from collections.abc import Iterable

# Of a path that no route has.
NO_ROUTE = "none"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_PARAMETER = re.compile(r"\{[^}]*\}")
_CONVERTOR = re.compile(r":[a-z]+\}")
_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class ApiMetrics:
    """Counts the requests.

    Args:
        paths: The paths of the routes, such as `/v1/images/{image_id}`; one that ends with `/` has all below it.

    Attributes:
        registry: The metrics of this process.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        # They would be a second series for each, with the time of its first request.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = process_registry("api")
        self._routes = Routes(paths)
        self._requests = Counter(
            "clipqueue_api_requests",
            "Requests by method, route and status. 499 is a client that did not wait for the answer.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "clipqueue_api_request_duration_seconds",
            "Time from the head of a request to the end of its answer, by route.",
            ["route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def observe(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count a request that has been answered, or whose client has left."""
        route = self._routes.find(path)
        self._requests.labels(method if method in _METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)


class Routes:
    """Finds the route of a path. The router's own search costs 0.2 ms, and not every request gets to the router."""

    def __init__(self, paths: Iterable[str]) -> None:
        templates = list(dict.fromkeys(_CONVERTOR.sub("}", path) for path in paths))
        self._plain = frozenset(path for path in templates if "{" not in path)
        self._folders = tuple(path for path in templates if path.endswith("/") and path != "/")
        # The first that matches counts, as for the router.
        self._patterns = [(_pattern(path), path) for path in templates if "{" in path]

    def find(self, path: str) -> str:
        """Return the template of a decoded path; `none` if there is none."""
        if path in self._plain:
            return path
        found = (template for pattern, template in self._patterns if pattern.fullmatch(path))
        below = (folder for folder in self._folders if path.startswith(folder))
        return next(found, None) or next(below, NO_ROUTE)


def _pattern(template: str) -> re.Pattern[str]:
    parts = map(re.escape, _PARAMETER.split(template))
    return re.compile(".*".join(parts), re.DOTALL)
