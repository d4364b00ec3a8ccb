"""A real Prometheus and a loaded system: every query of the dashboard has an answer, and a fault wakes somebody."""

from __future__ import annotations

import math
import random
import time
from typing import TYPE_CHECKING

import pytest

from tests.monitoring.ask import Answer, ask
from tests.monitoring.drill import judge, run
from tests.monitoring.faults import FAULTS, Truth
from tests.monitoring.fleet import Fleet, Load
from tests.monitoring.look import look
from tests.monitoring.prometheus import PROGRAM, Prometheus, running_prometheus
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

# Queries without an answer in this system, and why.
EMPTY = {
    ("Alerts", "{{alertname}} {{instance}} {{code}}"): "nothing is wrong",
    ("Memory of Redis", "limit"): "the embedded Redis has no limit",
    ("Webhooks", "{{outcome}}"): "nobody runs `clipqueue notify`",
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A worker, a sweep and the API of this module alone, since a fault breaks their MongoDB; with a load."""
    if not PROGRAM:
        pytest.skip("Prometheus is not installed")
    with Fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        fleet.start_all(1)
        with Load(fleet, 10):
            yield fleet


@pytest.fixture(scope="module")
def prometheus(fleet: Fleet) -> Iterator[Prometheus]:
    with running_prometheus(fleet.folder, fleet.targets, interval_s=1) as prometheus:
        yield prometheus


def has_number(answer: Answer) -> bool:
    return any(math.isfinite(float(value)) for series in answer.series for _, value in series["values"])


@pytest.mark.chaos
def test_every_query_of_the_dashboard_returns_data(prometheus: Prometheus) -> None:
    def empty() -> set[tuple[str, str]]:
        now = time.time()
        answers = ask(prometheus, now - 60, now, 1)
        return {(one.panel, one.legend) for one in answers if not has_number(one)}

    wait_for(lambda: empty() == EMPTY.keys(), "data for every panel", 60)
    assert any("Jobs per second" in line for line in look(prometheus))


@pytest.mark.chaos
def test_a_mongodb_that_refuses_is_named_by_an_alert_and_nothing_fired_before(
    fleet: Fleet, prometheus: Prometheus
) -> None:
    """The drill in its short form; it takes the half minute that an election of MongoDB's primary may take."""
    verdict = judge(*run(fleet, prometheus, FAULTS["mongo"], random.Random(4), 1, ends_early=True))  # noqa: S311
    assert verdict.is_good, verdict


def test_the_drill_counts_an_alert_that_names_the_place_in_time_and_nothing_before() -> None:
    truth = Truth("w2 hangs", frozenset({"Stuck", "Down"}), "w2")
    other = ({"alertname": "Down", "instance": "w1"}, 5.0)
    named = ({"alertname": "Stuck", "instance": "w2"}, 80.0)
    assert judge([], truth, [other, named]).named_after_s == 80
    assert judge([], truth, [other, named]).is_good
    assert not judge([], truth, [other]).is_good, "another worker was named"
    assert not judge([], truth, [({"alertname": "Slow"}, 5.0)]).is_good, "the place is another one"
    assert not judge([named], truth, [named]).is_good, "it fired before"
    assert not judge([], truth, [(named[0], 121.0)]).is_good, "too late"
