"""Injects each fault of the schedule into a cluster, and ends it after its time."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.cluster import Cluster
    from tests.chaos.processes import ManagedProcess
    from tests.chaos.schedule import Fault


def inject(cluster: Cluster, fault: Fault) -> str:
    """Inject one fault; return a description once it is over."""
    verb, _, target = fault.name.partition(" ")
    process = cluster.workers[fault.pick % len(cluster.workers)] if target == "worker" else _process(cluster, target)
    details = ""
    match verb:
        case "kill":
            process.kill()
            time.sleep(fault.duration_s)
            process.start()
        case "stop":
            details = f", exit code {process.stop()}"
            time.sleep(fault.duration_s)
            process.start()
        case "freeze":
            with process.frozen():
                time.sleep(fault.duration_s)
        case "fill" if target.endswith("memory"):
            with _full_memory(cluster):
                time.sleep(fault.duration_s)
        case "fill":
            with process.full_disk():
                time.sleep(fault.duration_s)
        case "fail":
            cluster.fail_over()
        case "flush":
            cluster.broker.flushall()
        case "flap":
            cluster.control_images(mode="flap", seed=fault.pick)
            time.sleep(fault.duration_s)
            cluster.control_images(mode="fine")
    return f"{fault} ({process.name}){details}{restart_exited(cluster)}"


def restart_exited(cluster: Cluster) -> str:
    """Start the processes that exited, as a supervisor would; return a text that names them."""
    exited = cluster.start_exited()
    return f"; exited: {', '.join(exited)}" if exited else ""


def _process(cluster: Cluster, target: str) -> ManagedProcess:
    servers: dict[str, ManagedProcess] = {"redis": cluster.redis, "mongo": cluster.mongo, "images": cluster.images}
    return next(process for name, process in servers.items() if name in target)


@contextmanager
def _full_memory(cluster: Cluster) -> Iterator[None]:
    """Give Redis less memory than it uses, until the block ends."""
    cluster.broker.config_set("maxmemory", 1)
    try:
        yield
    finally:
        cluster.broker.config_set("maxmemory", 0)
