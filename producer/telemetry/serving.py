"""Serves the metrics and the health of a process for a block, if its environment asks for it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client import CollectorRegistry

    from producer.telemetry.settings import TelemetrySettings


@contextmanager
def serving(
    settings: TelemetrySettings,
    registries: Callable[[], Mapping[str, CollectorRegistry]],
    live: Callable[[], str],
    ready: Callable[[], str],
) -> Iterator[None]:
    """Serve until the block ends.

    Args:
        settings: Where, and whether at all.
        registries: Makes the metrics by their path. It is called only if they are served, as they need an extra.
        live: Returns why the process has to be restarted; an empty text if it need not be.
        ready: Returns why the process cannot work now; an empty text if it can.

    Raises:
        ConfigurationError: CLIPQUEUE_METRICS_PORT asks for what cannot be had: the port is in use, or the extra
            `metrics` is missing.
    """
    if not settings.is_on():
        yield
        return
    from producer.telemetry.server import TelemetryServer  # noqa: PLC0415  (needs the extra)

    server = TelemetryServer(settings.host, settings.port, registries=registries(), live=live, ready=ready)
    settings.start(server)
    try:
        yield
    finally:
        server.close()
