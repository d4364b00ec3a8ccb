"""Serves the metrics of the API and of the whole queue, and the API's health, on a port of their own."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.api.app import route_paths
from producer.api.metrics import ApiMetrics
from producer.api.pulse import Pulse
from producer.client.broker import Broker
from producer.operations.stats.collector import PATH, queue_registry
from producer.telemetry.serving import serving
from producer.telemetry.settings import TelemetrySettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.api.settings import ApiSettings

# Redis' answer to a scrape has to come within three seconds.
_SCRAPE_S = 2.0


@dataclass(frozen=True)
class ApiTelemetry:
    """What the application tells of itself: its requests, and whether its event loop turns."""

    metrics: ApiMetrics
    pulse: Pulse


@contextmanager
def serving_api_telemetry(settings: ApiSettings) -> Iterator[ApiTelemetry | None]:
    """Serve for a block; yield what the application needs for it, or None if CLIPQUEUE_METRICS_PORT asks for nothing.

    Raises:
        ConfigurationError: The port is in use, or is no port.
    """
    where = TelemetrySettings.from_env(reads_platform_port=False)
    if not where.is_on():
        yield None
        return
    telemetry = ApiTelemetry(ApiMetrics(route_paths()), Pulse())
    with closing(Broker(settings.redis_url, _SCRAPE_S)) as broker:
        registries = {"/metrics": telemetry.metrics.registry, PATH: queue_registry(broker)}
        with serving(where, lambda: registries, telemetry.pulse.live, telemetry.pulse.ready):
            yield telemetry
