"""Serves the metrics and the health of a worker process over HTTP, if that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

    from producer.telemetry.server import TelemetryServer
    from producer.telemetry.settings import TelemetrySettings
    from worker.telemetry.telemetry import Telemetry


class Serving:
    """The process's server for `/metrics`, `/livez` and `/readyz`.

    Args:
        live: Returns why the process has to be restarted; an empty text if it need not be.
        ready: Returns why the process does not work now; an empty text if it does.
    """

    def __init__(self, live: Callable[[], str], ready: Callable[[], str]) -> None:
        self._live = live
        self._ready = ready
        self._registry: CollectorRegistry | None = None
        self._server: TelemetryServer | None = None

    def start(self, settings: TelemetrySettings) -> None:
        """Listen, so that a platform sees a process that lives while its model loads.

        Raises:
            ConfigurationError: The address that the settings name cannot be listened on.
        """
        if not settings.is_on():
            return
        # Imported here, because most processes on a developer's machine serve nothing.
        from prometheus_client import CollectorRegistry, ProcessCollector  # noqa: PLC0415

        from producer.telemetry.server import TelemetryServer  # noqa: PLC0415

        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._server = TelemetryServer(
            settings.host,
            settings.port,
            registries={"/metrics": self._registry},
            live=self._live,
            ready=self._ready,
        )
        settings.start(self._server)

    def show(self, telemetry: Telemetry) -> None:
        """Serve the metrics of a worker that has started."""
        if self._registry:
            from worker.telemetry.metrics import WorkerMetrics  # noqa: PLC0415

            self._registry.register(WorkerMetrics(telemetry.figures, telemetry.readings, telemetry.facts))

    def close(self) -> None:
        """Stop listening."""
        if self._server:
            self._server.close()
