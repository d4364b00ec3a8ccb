"""Whether, and where, a process serves its metrics and its health."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from producer.contract.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from producer.telemetry.server import TelemetryServer

_LOG = logging.getLogger("clipqueue.telemetry")
PORT, HOST, PLATFORM_PORT = "CLIPQUEUE_METRICS_PORT", "CLIPQUEUE_METRICS_HOST", "PORT"
_DEFAULT_HOST = "127.0.0.1"
_MAX_PORT = 65_535


@dataclass(frozen=True)
class TelemetrySettings:
    """Where a process serves its metrics and its health.

    Attributes:
        host: The address to listen on; `::` is all addresses of both families.
        port: The port; 0 serves nothing.
        is_asked_for: CLIPQUEUE_METRICS_PORT has the port. Many platforms and shells set PORT, also for processes that
            nobody wants metrics of; so a port from there that cannot be used ends no process.
    """

    host: str = _DEFAULT_HOST
    port: int = 0
    is_asked_for: bool = False

    @classmethod
    def from_env(
        cls, environ: Mapping[str, str] | None = None, *, reads_platform_port: bool = True
    ) -> TelemetrySettings:
        """Read CLIPQUEUE_METRICS_PORT, else PORT, and CLIPQUEUE_METRICS_HOST.

        Args:
            environ: By default the environment.
            reads_platform_port: PORT counts too. It does not for the API, which answers requests there.

        Raises:
            ConfigurationError: A port is no number from 0 to 65535.
        """
        environ = os.environ if environ is None else environ
        names = (PORT, PLATFORM_PORT) if reads_platform_port else (PORT,)
        name = next((name for name in names if environ.get(name)), PORT)
        host = environ.get(HOST) or _DEFAULT_HOST
        return cls(host, _parse_port(name, environ.get(name) or "0"), name == PORT)

    def is_on(self) -> bool:
        """Return whether a server is to be started.

        Raises:
            ConfigurationError: CLIPQUEUE_METRICS_PORT asks for one, and the extra `metrics` is missing.
        """
        if not self.port:
            return False
        if find_spec("prometheus_client"):
            return True
        self._fail(
            f"serving on port {self.port} needs clipqueue's extra 'metrics': run pip install '.[metrics]' in the "
            "clipqueue checkout"
        )
        return False

    def start(self, server: TelemetryServer) -> None:
        """Start the server.

        Raises:
            ConfigurationError: CLIPQUEUE_METRICS_PORT asks for it, and the address cannot be listened on.
        """
        try:
            server.start()
        except ConfigurationError as exc:
            self._fail(str(exc))

    def _fail(self, problem: str) -> None:
        if self.is_asked_for:
            raise ConfigurationError(f"{PORT}: {problem}")
        _LOG.warning(
            "%s: %s. Without metrics and health checks over HTTP, this process continues", PLATFORM_PORT, problem
        )


def _parse_port(name: str, text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > _MAX_PORT:
        raise ConfigurationError(f"{name} must be a number from 0 to {_MAX_PORT}; 0 serves no metrics")
    return int(text)
