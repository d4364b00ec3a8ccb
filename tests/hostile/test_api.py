"""Hostile requests to the API. Each is answered with its own error, and the API and its worker go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.hostile.api_expected import check_hides_secrets
from tests.hostile.api_target import Target
from tests.hostile.api_wire import AMBIGUOUS, NOT_READABLE, SLOW, TOO_LARGE
from tests.support.api import KEYS
from tests.support.pictures import small_jpeg
from tests.support.servers import ImageServer
from tests.support.workers import start_fake_worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producer.local.stack import Stack

ROWS = {**NOT_READABLE, **TOO_LARGE, **AMBIGUOUS, **SLOW}
