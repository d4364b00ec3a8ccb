"""An image server that misbehaves, and one that answers out of order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producer.contract.job import now_ms
from tests.chaos.report import wait_for_report
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster
    from tests.chaos.ledger import Ledger

pytestmark = pytest.mark.chaos


def test_a_server_that_flaps_fails_only_what_it_never_answers(cluster: Cluster, ledger: Ledger) -> None:
    cluster.control_images(mode="flap", chance=0.5, seed=6)
    ledger.enqueue(300)
    ledger.enqueue_failing(20, "gone", "http_404")
    ledger.enqueue_failing(20, "sick", "http_503")
    report = wait_for_report(ledger, 90)
    cluster.control_images(mode="fine")
    report.assert_complete("http_404", "http_503")
    assert report.failed == {"http_404": 20, "http_503": 20}


@pytest.mark.parametrize(("first_ms", "last_ms"), [(900, 50), (50, 900)], ids=["last-ends-first", "first-ends-first"])
def test_the_last_enqueue_of_an_image_stands_whichever_ends_last(
    cluster: Cluster, ledger: Ledger, first_ms: int, last_ms: int
) -> None:
    """Two URLs with two pictures for each image, both in flight at once."""
    for _ in range(10):
        ids = ledger.enqueue(30, query=f"?ms={first_ms}")
        first = now_ms()
        wait_for(lambda first=first: now_ms() > first, "the next millisecond")  # type: ignore[misc]
        ledger.enqueue_again(ids, shift=1, query=f"?ms={last_ms}")
        wait_for(lambda: cluster.queued()["images"] < 30, "most of them to be in flight")
    wait_for_report(ledger).assert_complete()
