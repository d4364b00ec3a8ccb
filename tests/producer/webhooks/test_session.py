"""`clipqueue notify` says at start that a library has changed."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from producer.contract.errors import ConfigurationError
from producer.webhooks.session import PARTS, TimedSession

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
LIBRARIES = sorted({distribution for distribution, _ in PARTS})


@pytest.mark.parametrize(("distribution", "owner"), PARTS)
def test_a_part_that_is_missing_ends_the_start(distribution: str, owner: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARTS, (distribution, owner), PARTS[distribution, owner] + " new_name")
    with pytest.raises(ConfigurationError, match=rf"{distribution} \d\S+ has no new_name in {owner.__name__};"):
        TimedSession()


@pytest.mark.parametrize("distribution", LIBRARIES)
def test_the_versions_are_bounded_to_a_minor_version(distribution: str) -> None:
    [bound] = [
        one for text in PROJECT["optional-dependencies"]["webhooks"] if (one := Requirement(text)).name == distribution
    ]
    major, minor, *_ = version(distribution).split(".")
    assert str(bound.specifier) == f"~={major}.{minor}.0"
