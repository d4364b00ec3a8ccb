"""Checks at start that uvicorn and asyncio still have the parts that `producer.api.server` overrides or sets."""

from __future__ import annotations

from asyncio import selector_events
from importlib.metadata import version

from uvicorn.protocols.http.h11_impl import H11Protocol

from producer.contract.errors import ConfigurationError

_OVERRIDDEN = ("connection_made", "connection_lost", "pause_writing", "resume_writing", "on_response_complete")


def check_libraries(protocol: type = H11Protocol, transport: object = None) -> None:
    """Check the parts without which the limits on slow clients would not hold.

    Args:
        protocol: uvicorn's HTTP/1.1.
        transport: The class of asyncio's connections; by default that of this Python.

    Raises:
        ConfigurationError: A part is missing. The message names it and the version.
    """
    missing = [name for name in _OVERRIDDEN if not hasattr(protocol, name)]
    if missing:
        raise ConfigurationError(
            f"the API does not start: uvicorn {version('uvicorn')} has no {missing[0]} in H11Protocol; "
            "install uvicorn~=0.54.0"
        )
    if not hasattr(transport or vars(selector_events).get("_SelectorSocketTransport"), "max_size"):
        raise ConfigurationError("the API does not start: the connections of this Python's asyncio have no max_size")
