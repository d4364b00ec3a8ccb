"""Reads the metrics of a process as Prometheus does."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Mapping

# Samples by the metric's name, with its labels as Prometheus writes them: `clipqueue_jobs_total{outcome="done"}`.
Samples = dict[str, float]


def scrape_text(port: int) -> str:
    """Return what `/metrics` answers on this port of loopback."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return str(answer.read().decode())


def read_samples(text: str) -> Samples:
    """Return all samples of a text in Prometheus' format."""
    return {
        _written(sample.name, sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(port: int) -> Samples:
    """Return all samples that `/metrics` has on this port of loopback."""
    return read_samples(scrape_text(port))


def rises(before: Mapping[str, float], after: Mapping[str, float]) -> Samples:
    """Return the samples that are higher than before, and by how much, but no buckets."""
    return {
        name: value - before.get(name, 0)
        for name, value in after.items()
        if value > before.get(name, 0) and "_bucket" not in name
    }


def _written(name: str, labels: Mapping[str, str]) -> str:
    return name + ("{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}" if labels else "")
