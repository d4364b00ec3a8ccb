"""Ends a worker process that cannot go on, within seconds, whatever hangs in it."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

from worker.telemetry.flush import flush_telemetry

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

# EX_SOFTWARE in sysexits.h: the process found that a part of it hangs or is lost. A supervisor starts it again.
BROKEN = 70
_WITHIN_S = 6.0


def end_process(code: int, reason: str, on_exit: Callable[[], object]) -> None:
    """Log the reason, send the telemetry, and end the process.

    Args:
        code: The exit code.
        reason: Why it ends, for the log. Empty if the log has it.
        on_exit: Called before, for what would outlive the process.
    """

    def prepare() -> None:
        if reason:
            logger.critical(reason)
        flush_telemetry()
        on_exit()
        logging.shutdown()

    try:
        # In another thread, since any of these may hang too, such as on a log that nobody reads.
        thread = threading.Thread(target=prepare, name="end", daemon=True)
        thread.start()
        thread.join(_WITHIN_S)
    finally:
        os._exit(code)
