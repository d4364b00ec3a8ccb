"""`celery -A tests.support.fake_encoder_app worker`: the worker as it is, save that its encoder is the stand-in."""

from __future__ import annotations

import sys

from tests.support import fake_encoder

# Before worker.wiring asks for it, so that torch is never loaded: such a worker starts in a second.
sys.modules["worker.encode.open_clip"] = fake_encoder

from worker.app import app  # noqa: E402

__all__ = ["app"]
