"""Checks at start that uvicorn, Starlette and asyncio still have the undocumented parts that the API overrides or uses.

Without them, the limits on slow clients would not hold, and nothing would say so.
"""

from __future__ import annotations

from asyncio import selector_events

from starlette.staticfiles import StaticFiles
from uvicorn import Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from producer.client.libraries import Parts, check_parts
from producer.contract.errors import ConfigurationError

PARTS: Parts = {
    ("uvicorn", H11Protocol): "connection_made connection_lost pause_writing resume_writing on_response_complete "
    "cycle loop transport",
    ("uvicorn", Server): "startup started servers",
    ("starlette", StaticFiles): "file_response",
}
MAX_SIZE = "max_size"


def check_libraries(parts: Parts | None = None, transport: object = None) -> None:
    """Check the parts.

    Args:
        parts: By default `PARTS`.
        transport: The class of asyncio's connections; by default that of this Python.

    Raises:
        ConfigurationError: A part is missing. The message names it and the version.
    """
    check_parts(PARTS if parts is None else parts, "the API", "api")
    if not hasattr(transport or vars(selector_events).get("_SelectorSocketTransport"), MAX_SIZE):
        raise ConfigurationError(f"the API does not start: the connections of this Python's asyncio have no {MAX_SIZE}")
