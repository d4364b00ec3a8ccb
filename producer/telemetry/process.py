"""The metrics that every process has: its version, and what the system says of it. It needs the extra `metrics`."""

from __future__ import annotations

from importlib.metadata import version
from typing import Literal

from prometheus_client import CollectorRegistry, Info, ProcessCollector


def process_registry(part: Literal["api", "sweep", "notify"]) -> CollectorRegistry:
    """Return a registry with `clipqueue_build_info` and `process_*`, for a part of clipqueue other than a worker."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    build = Info(
        "clipqueue_build",
        "The version of clipqueue, and which part of it this process is; a worker has clipqueue_worker_info instead.",
        registry=registry,
    )
    build.info({"version": version("clipqueue"), "part": part})
    return registry
