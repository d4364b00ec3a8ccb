"""The four headers that carry a trace from the program that enqueues to the worker, and which of them are valid.

`traceparent` and `tracestate` are those of https://www.w3.org/TR/trace-context-2/, `baggage` is that of
https://www.w3.org/TR/baggage/, and `sentry-trace` is that of https://develop.sentry.dev/sdk/telemetry/traces/. A
message without valid ones is a job all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from .errors import InvalidJob
from .text import compact_json

# The names of headers, in this order, and their texts.
Trace = Mapping[str, str]

NO_TRACE: Trace = {}
# W3C asks for 8,192. But Redis keeps it in memory with each job that waits, and a job without it takes 1,300 bytes.
# What Sentry and OpenTelemetry write by themselves has 200 to 500.
MAX_BAGGAGE_CHARS = 2048
_MAX_STATE_CHARS = 512
_MAX_STATE_MEMBERS = 32

# Version ff is no version, and version 00 has nothing behind the flags. Later versions may have.
_PARENT = re.compile(
    r"(?!ff|00.{53}.)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[!-~]{0,100})?"
)
_SENTRY = re.compile(r"(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}(?:-[01])?")
_STATE_MEMBER = re.compile(r"[a-z0-9][a-z0-9_*/@-]{0,255}=[ -+\--<>-~]{0,255}[!-+\--<>-~]")
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105  (no password)
_VALUE = r"[!#-+\--:<-\[\]-~]*"
# A member and its properties are matched one by one: one pattern for all would take exponential time on some texts.
_BAGGAGE_PAIR = re.compile(rf"{_TOKEN}[ \t]*=[ \t]*{_VALUE}")
_BAGGAGE_PROPERTY = re.compile(rf"{_TOKEN}(?:[ \t]*=[ \t]*{_VALUE})?")


def checked_trace(headers: Mapping[str, object]) -> Trace:
    """Return the trace that a caller has given. Other names are ignored: a propagator may write more.

    Raises:
        InvalidJob: A header is no valid text. The message says which, without repeating it.
    """
    for name, is_valid in _RULES.items():
        value = headers.get(name)
        if value is not None and not (isinstance(value, str) and is_valid(value)):
            raise InvalidJob(f"trace: {name} is not valid")
    return read_trace(headers)


def read_trace(*places: object) -> Trace:
    """Return the valid headers of the first of these mappings that has any; those of no trace if none has."""
    for place in places:
        if isinstance(place, Mapping) and (trace := _valid(place)):
            return trace
    return NO_TRACE


def trace_json(trace: Trace) -> str:
    """Return the headers as the last members of a JSON object, with a comma before each."""
    return "".join(f',"{name}":{compact_json(value)}' for name, value in trace.items())


def trace_id_of(trace: Trace) -> str | None:
    """Return the id of a trace, 32 hex digits; None if there is none."""
    found = _PARENT.match(trace.get("traceparent", "")) or _SENTRY.match(trace.get("sentry-trace", ""))
    return found[1] if found else None


def _valid(headers: Mapping[str, object]) -> Trace:
    trace = {
        name: value
        for name, is_valid in _RULES.items()
        if isinstance(value := headers.get(name), str) and is_valid(value)
    }
    if "traceparent" not in trace:
        trace.pop("tracestate", None)  # which means nothing alone
    return trace


def _is_state(text: str) -> bool:
    members = [member.strip(" \t") for member in text.split(",")]
    return (
        0 < len(text) <= _MAX_STATE_CHARS
        and len(members) <= _MAX_STATE_MEMBERS
        and all(_STATE_MEMBER.fullmatch(member) for member in members if member)
    )


def _is_baggage(text: str) -> bool:
    return 0 < len(text) <= MAX_BAGGAGE_CHARS and all(map(_is_baggage_member, text.split(",")))


def _is_baggage_member(text: str) -> bool:
    pair, *properties = (part.strip(" \t") for part in text.split(";"))
    return bool(_BAGGAGE_PAIR.fullmatch(pair)) and all(map(_BAGGAGE_PROPERTY.fullmatch, properties))


_RULES: dict[str, Callable[[str], object]] = {
    "traceparent": _PARENT.fullmatch,
    "tracestate": _is_state,
    "sentry-trace": _SENTRY.fullmatch,
    "baggage": _is_baggage,
}
TRACE_HEADERS = tuple(_RULES)
