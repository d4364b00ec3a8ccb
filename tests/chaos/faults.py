"""Makes each fault of the schedule inject in an cluster, and mends it after its time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster
    from tests.chaos.processes import ManagedProcess
    from tests.chaos.schedule import Fault


def inject(cluster: Cluster, fault: Fault) -> str:
    """Let one fault inject; return once it is over, with what is to be told of it."""
    verb, _, what = fault.name.partition(" ")
    part = cluster.workers[fault.pick % len(cluster.workers)] if what == "worker" else _part(cluster, what)
    told = ""
    match verb:
        case "kill":
            part.kill()
            time.sleep(fault.lasts_s)
            part.start()
        case "stop":
            told = f", exit code {part.stop()}"
            time.sleep(fault.lasts_s)
            part.start()
        case "freeze":
            with part.frozen():
                time.sleep(fault.lasts_s)
        case "fill":
            with part.disk_full():
                time.sleep(fault.lasts_s)
        case "flush":
            cluster.broker.flushall()
        case "flap":
            cluster.control_images(mode="flap", seed=fault.pick)
            time.sleep(fault.lasts_s)
            cluster.control_images(mode="fine")
    return f"{fault} ({part.name}){told}{restart_exited(cluster)}"


def restart_exited(cluster: Cluster) -> str:
    """Start what has ended by itself, as a supervisor would; say what that was."""
    ended = cluster.start_exited()
    return f"; ended by itself: {', '.join(ended)}" if ended else ""


def _part(cluster: Cluster, what: str) -> ManagedProcess:
    name = what.removesuffix(" disk").removesuffix("'s").removesuffix("'")
    return {"redis": cluster.redis, "mongo": cluster.mongo, "images": cluster.images}[name]
