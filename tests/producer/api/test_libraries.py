"""The API says at start that a library has changed."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from uvicorn.protocols.http.h11_impl import H11Protocol

from producer.api.libraries import PARTS, check_libraries
from producer.contract.errors import ConfigurationError

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]


def test_the_installed_libraries_have_all_parts() -> None:
    check_libraries()


@pytest.mark.parametrize(("distribution", "owner"), PARTS)
def test_a_part_that_is_missing_is_named(distribution: str, owner: type) -> None:
    with pytest.raises(ConfigurationError, match=rf"{distribution} \d\S+ has no new_name in {owner.__name__};"):
        check_libraries({(distribution, owner): PARTS[distribution, owner] + " new_name"})


def test_a_connection_without_a_maximum_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="have no max_size"):
        check_libraries(transport=object())


def test_an_attribute_that_only_a_method_sets_counts() -> None:
    assert not hasattr(H11Protocol, "cycle")
    check_libraries({("uvicorn", H11Protocol): "cycle"})


@pytest.mark.parametrize("distribution", sorted({distribution for distribution, _ in PARTS}))
def test_the_versions_are_bounded_to_a_minor_version(distribution: str) -> None:
    [bound] = [
        one for text in PROJECT["optional-dependencies"]["api"] if (one := Requirement(text)).name == distribution
    ]
    major, minor, *_ = version(distribution).split(".")
    assert str(bound.specifier) == f"~={major}.{minor}.0"
