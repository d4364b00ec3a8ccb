"""The report and the schedule themselves: a report that finds no problem must be able to find one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producer.contract.names import IMAGE_QUEUE
from tests.chaos.report import make_report, wait_for_report
from tests.chaos.schedule import WEIGHTS, make_schedule

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster
    from tests.chaos.ledger import Ledger


def test_the_report_finds_missing_wrong_unknown_and_unfinished(cluster: Cluster, ledger: Ledger) -> None:
    lost, swapped, other, failed, *_ = ledger.enqueue(300)
    wait_for_report(ledger).assert_complete()
    vector_of_other = cluster.collection.find_one({"_id": other})["embedding"]  # type: ignore[index]
    for worker in cluster.workers:
        worker.stop()
    cluster.collection.delete_one({"_id": lost})
    cluster.collection.update_one({"_id": swapped}, {"$set": {"embedding": vector_of_other}})
    cluster.collection.update_one({"_id": failed}, {"$set": {"embedding_job.status": "failed"}})
    cluster.collection.insert_one({"_id": "unknown"})
    cluster.broker.lpush(IMAGE_QUEUE, "{}")
    report = make_report(ledger)
    cluster.broker.delete(IMAGE_QUEUE)
    assert report.missing == (lost,)
    assert [line.partition(":")[0] for line in report.wrong] == [swapped, failed]
    assert (report.done, report.unknown, report.left["images"]) == (298, 1, 1)
    assert len(report.problems()) == 5
    with pytest.raises(AssertionError, match="1 images are missing"):
        report.assert_complete()


def test_the_same_seed_gives_the_same_schedule_and_another_seed_another() -> None:
    assert make_schedule(7, 10) == make_schedule(7, 10)
    assert make_schedule(7, 10) != make_schedule(8, 10)
    assert {fault.name for fault in make_schedule(7, 60)} == set(WEIGHTS)
