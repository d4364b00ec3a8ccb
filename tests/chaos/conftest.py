"""Fixtures: an cluster for each module, with two workers whose encoder is the stand-in; and a ledger for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.cluster import Cluster
from tests.chaos.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.start_workers("a", "b")
        yield cluster


@pytest.fixture(autouse=True)
def _in_order(request: pytest.FixtureRequest) -> None:
    """Whatever the test before has left behind: images are served, and the workers run."""
    if "cluster" in request.fixturenames:
        request.getfixturevalue("cluster").reset()


@pytest.fixture
def ledger(cluster: Cluster, request: pytest.FixtureRequest) -> Ledger:
    """An empty ledger; its ids bear the test's name."""
    return Ledger(cluster, request.node.name.removeprefix("test_").replace("[", "-").replace("]", "")[:60])
