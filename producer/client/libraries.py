"""Checks at start that libraries still have the undocumented parts that a program overrides or uses."""

from __future__ import annotations

from importlib.metadata import version
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ..contract.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

# The parts of each class, by its distribution: methods, and attributes that methods set.
Parts = dict[tuple[str, type], str]


def check_parts(parts: Mapping[tuple[str, type], str], program: str, extra: str) -> None:
    """Check the parts.

    Args:
        parts: As in `Parts`.
        program: What does not start without them.
        extra: The extra that bounds the versions.

    Raises:
        ConfigurationError: A part is missing. The message names it and the version.
    """
    for (distribution, owner), names in parts.items():
        if missing := [name for name in names.split() if not _has(owner, name)]:
            raise ConfigurationError(
                f"{program} does not start: {distribution} {version(distribution)} has no {missing[0]} in "
                f"{owner.__name__}; install the version that clipqueue's extra '{extra}' asks for"
            )


def _has(owner: Any, name: str) -> bool:
    methods = [one for one in vars(owner).values() if isinstance(one, FunctionType)]
    return hasattr(owner, name) or any(name in method.__code__.co_names for method in methods)
