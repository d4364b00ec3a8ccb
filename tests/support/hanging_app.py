"""`celery -A tests.support.hanging_app worker`: a worker with the fake encoder whose main thread hangs on SIGUSR1."""

from __future__ import annotations

import signal
import time
from typing import Any

from celery.signals import worker_ready

from tests.support.fake_encoder_app import app

__all__ = ["app"]


def _hang(*_: Any) -> None:
    time.sleep(600)


@worker_ready.connect
def _listen(**_: Any) -> None:
    signal.signal(signal.SIGUSR1, _hang)  # Celery has set its own handler before
