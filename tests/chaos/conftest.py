"""Fixtures: an arena for each module, with two workers whose encoder is the stand-in; and a ledger for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.arena import Arena
from tests.chaos.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with Arena(tmp_path_factory.mktemp("arena")) as arena:
        arena.start_workers("a", "b")
        yield arena


@pytest.fixture(autouse=True)
def _in_order(request: pytest.FixtureRequest) -> None:
    """Whatever the test before has left behind: images are served, and the workers run."""
    if "arena" in request.fixturenames:
        request.getfixturevalue("arena").put_in_order()


@pytest.fixture
def ledger(arena: Arena, request: pytest.FixtureRequest) -> Ledger:
    """An empty ledger; its ids bear the test's name."""
    return Ledger(arena, request.node.name.removeprefix("test_").replace("[", "-").replace("]", "")[:60])
