"""`celery -A tests.chaos.worker_app worker`: the worker as it is, save that its encoder is the stand-in."""

from __future__ import annotations

import sys

from tests.chaos import stand_in

# Before worker.wiring asks for it, so that torch is never loaded: such a worker starts in a second.
sys.modules["worker.encode.open_clip"] = stand_in

from worker.app import app  # noqa: E402

__all__ = ["app"]
