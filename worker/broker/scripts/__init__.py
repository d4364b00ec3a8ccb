"""The steps of a message on Redis, from the queue to its end. Each is a Lua script: atomic, by Redis's clock.

Redis does not undo a script that fails half-way, for example because a permission is missing. So a message is written
to its new place before it is removed from the old one.

A full Redis refuses commands that may use more memory, unless the script has written before. So each script begins with
a write that needs no memory. This holds for every Redis since 6.2 and for Valkey. It needs no script flags, which older
versions do not know.
"""

from worker.broker.scripts.delays import Delay, delay, requeue_due
from worker.broker.scripts.ending import ack, ack_ended, park, requeue
from worker.broker.scripts.heartbeats import remove_heartbeat, write_heartbeat
from worker.broker.scripts.redelivery import LOST_HEADER, redeliver, start_alone
from worker.broker.scripts.taking import (
    PROCESSING_KEY,
    Taken,
    extend_visibility,
    read_unacked,
    return_untaken,
    take,
)

__all__ = [
    "LOST_HEADER",
    "PROCESSING_KEY",
    "Delay",
    "Taken",
    "ack",
    "ack_ended",
    "delay",
    "extend_visibility",
    "park",
    "read_unacked",
    "redeliver",
    "remove_heartbeat",
    "requeue",
    "requeue_due",
    "return_untaken",
    "start_alone",
    "take",
    "write_heartbeat",
]
