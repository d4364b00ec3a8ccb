"""`celery -A tests.support.fake_encoder_app worker`: the real worker with the fake encoder."""

from __future__ import annotations

import sys

from tests.support import fake_encoder

# Before worker.wiring imports it, so that torch is never imported.
sys.modules["worker.encode.open_clip"] = fake_encoder

from worker.app import app  # noqa: E402

__all__ = ["app"]
