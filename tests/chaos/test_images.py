"""An image server with faults, and one that answers out of order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producer.contract.job import now_ms
from tests.chaos.report import wait_for_report
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster
    from tests.chaos.ledger import Ledger


@pytest.mark.chaos
def test_a_flapping_server_fails_only_the_images_that_it_never_serves(cluster: Cluster, ledger: Ledger) -> None:
    cluster.control_images(mode="flap", chance=0.5, seed=6)
    ledger.enqueue(300)
    ledger.enqueue_failing(20, "gone", "http_404")
    ledger.enqueue_failing(20, "broken", "http_503")
    report = wait_for_report(ledger, 90)
    report.assert_complete("http_404", "http_503")
    assert report.failed == {"http_404": 20, "http_503": 20}


@pytest.mark.parametrize(
    ("first_ms", "last_ms"),
    [
        pytest.param(900, 50, id="last-ends-first"),
        pytest.param(50, 900, id="first-ends-first", marks=pytest.mark.chaos),
    ],
)
def test_the_last_enqueue_of_an_image_wins_whichever_job_ends_last(
    cluster: Cluster, ledger: Ledger, first_ms: int, last_ms: int
) -> None:
    """Each image is enqueued with two URLs of two pictures, and both jobs are in flight at the same time."""
    for _ in range(10):
        ids = ledger.enqueue(30, query=f"?ms={first_ms}")
        first = now_ms()
        wait_for(lambda first=first: now_ms() > first, "the next millisecond")  # type: ignore[misc]
        ledger.enqueue_again(ids, shift=1, query=f"?ms={last_ms}")
        wait_for(lambda: cluster.queued()["images"] < 30, "most of them to be in flight")
    wait_for_report(ledger).assert_complete()
