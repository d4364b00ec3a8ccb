"""Makes each fault of the schedule happen in an arena, and mends it after its time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.arena import Arena
    from tests.chaos.processes import Part
    from tests.chaos.schedule import Fault


def happen(arena: Arena, fault: Fault) -> str:
    """Let one fault happen; return once it is over, with what is to be told of it."""
    verb, _, what = fault.name.partition(" ")
    part = arena.workers[fault.pick % len(arena.workers)] if what == "worker" else _part(arena, what)
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
            arena.broker.flushall()
        case "flap":
            arena.control_images(mode="flap", seed=fault.pick)
            time.sleep(fault.lasts_s)
            arena.control_images(mode="fine")
    return f"{fault} ({part.name}){told}{revive(arena)}"


def revive(arena: Arena) -> str:
    """Start what has ended by itself, as a supervisor would; say what that was."""
    ended = arena.start_what_ended()
    return f"; ended by itself: {', '.join(ended)}" if ended else ""


def _part(arena: Arena, what: str) -> Part:
    name = what.removesuffix(" disk").removesuffix("'s").removesuffix("'")
    return {"redis": arena.redis, "mongo": arena.mongo, "images": arena.images}[name]
