"""One worker with short limits for all hostile tests, and a name server for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.dns import NameServer
from tests.support.hostile import HostileWorker

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def names() -> Iterator[NameServer]:
    with NameServer() as names:
        yield names


@pytest.fixture(scope="session")
def hostile_worker(names: NameServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileWorker]:
    worker = HostileWorker(tmp_path_factory.mktemp("hostile"), names)
    yield worker
    worker.close()
