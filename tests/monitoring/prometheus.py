"""Runs Debian's Prometheus with docs/monitoring/prometheus.yml, and asks it."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import yaml
from ephemeral_port_reserve import reserve

from tests.chaos.processes import ManagedProcess

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FOLDER = Path(__file__).parents[2] / "docs" / "monitoring"
PROGRAM = shutil.which("prometheus")
_TIMEOUT_S = 10.0

Series = dict[str, Any]


def configuration(targets: Mapping[str, Sequence[str]], interval_s: int) -> dict[str, Any]:
    """Return docs/monitoring/prometheus.yml with these targets by the name of the job, and with another interval."""
    config: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    interval = f"{interval_s}s"
    config["global"] |= {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
    for job in config["scrape_configs"]:
        job.pop("dns_sd_configs", None)
        job["static_configs"] = [{"targets": list(targets.get(job["job_name"], ()))}]
    return config


class Prometheus:
    """A server that is asked.

    Args:
        url: Its address.
        interval_s: The seconds between two scrapes.
    """

    def __init__(self, url: str, interval_s: int = 5) -> None:
        self.url = url
        self.interval_s = interval_s

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        """Return the series of an expression, each with its `values` between two times."""
        answer: dict[str, list[Series]] = self._get("query_range", query=expression, start=start, end=end, step=step)
        return answer["result"]

    def firing(self) -> list[Series]:
        """Return the alerts that fire now."""
        return [alert for alert in self._get("alerts")["alerts"] if alert["state"] == "firing"]

    def is_ready(self) -> bool:
        """Return whether it answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1):  # noqa: S310
                return True
        except OSError:
            return False

    def _get(self, path: str, **parameters: object) -> Any:
        url = f"{self.url}/api/v1/{path}?{urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310
                return json.load(answer)["data"]
        except urllib.error.HTTPError as exc:
            raise ValueError(f"{parameters}: {exc.read().decode()}") from exc


@contextmanager
def running_prometheus(folder: Path, targets: Mapping[str, Sequence[str]], interval_s: int = 5) -> Iterator[Prometheus]:
    """Run Debian's Prometheus for a block, on a free port of this machine.

    Args:
        folder: An existing folder for its files and its log.
        targets: The addresses to scrape, by the name of the job.
        interval_s: The seconds between two scrapes, and between two evaluations of the rules.
    """
    port = reserve()
    prometheus = Prometheus(f"http://127.0.0.1:{port}", interval_s)
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(configuration(targets, interval_s)))
    shutil.copy(FOLDER / "clipqueue.rules.yml", folder)
    command = [str(PROGRAM), f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    process = ManagedProcess("prometheus", lambda: command, folder, is_ready=lambda _: prometheus.is_ready(), env={})
    process.start()
    try:
        yield prometheus
    finally:
        process.end()
