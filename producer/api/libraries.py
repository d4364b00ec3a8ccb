"""Checks at start that uvicorn, Starlette and asyncio still have the undocumented parts that the API overrides or uses.

Without them, the limits on slow clients would not hold, and nothing would say so.
"""

from __future__ import annotations

from asyncio import selector_events
from importlib.metadata import version
from types import FunctionType
from typing import Any

from starlette.staticfiles import StaticFiles
from uvicorn import Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from producer.contract.errors import ConfigurationError

# The parts of each class, by its distribution: methods, and attributes that methods set.
PARTS: dict[tuple[str, type], str] = {
    ("uvicorn", H11Protocol): "connection_made connection_lost pause_writing resume_writing on_response_complete "
    "cycle loop transport",
    ("uvicorn", Server): "startup started servers",
    ("starlette", StaticFiles): "file_response",
}
MAX_SIZE = "max_size"


def check_libraries(parts: dict[tuple[str, type], str] | None = None, transport: object = None) -> None:
    """Check the parts.

    Args:
        parts: By default `PARTS`.
        transport: The class of asyncio's connections; by default that of this Python.

    Raises:
        ConfigurationError: A part is missing. The message names it and the version.
    """
    for (distribution, owner), names in (PARTS if parts is None else parts).items():
        if missing := [name for name in names.split() if not _has(owner, name)]:
            raise ConfigurationError(
                f"the API does not start: {distribution} {version(distribution)} has no {missing[0]} in "
                f"{owner.__name__}; install the version that clipqueue's extra 'api' asks for"
            )
    if not hasattr(transport or vars(selector_events).get("_SelectorSocketTransport"), MAX_SIZE):
        raise ConfigurationError(f"the API does not start: the connections of this Python's asyncio have no {MAX_SIZE}")


def _has(owner: Any, name: str) -> bool:
    methods = [one for one in vars(owner).values() if isinstance(one, FunctionType)]
    return hasattr(owner, name) or any(name in method.__code__.co_names for method in methods)
