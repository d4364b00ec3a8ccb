"""Fixtures: a cluster for the whole session, with two workers that have the fake encoder; a ledger for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.cluster import Cluster
from tests.chaos.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def session_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.start_workers("a", "b")
        yield cluster


@pytest.fixture
def cluster(session_cluster: Cluster) -> Cluster:
    """The session's cluster, after a reset: no test depends on what another one left behind."""
    session_cluster.reset()
    return session_cluster


@pytest.fixture
def ledger(cluster: Cluster, request: pytest.FixtureRequest) -> Ledger:
    """An empty ledger; its ids start with the name of the test."""
    return Ledger(cluster, request.node.name.removeprefix("test_").replace("[", "-").replace("]", "")[:60])
