"""One fuzz target: `python -m tests.fuzz.targets NAME [libFuzzer's options]`. A target fails by raising."""

from __future__ import annotations

import json
import sys
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

import atheris

with atheris.instrument_imports(include=["producer", "worker", "PIL"]):
    import ipaddress

    from producer.contract.errors import InvalidJob
    from producer.contract.job import ImageJob
    from producer.contract.urls import check_url, redact_url
    from worker.broker.validation import InvalidMessage, validate_message
    from worker.decode.pillow import DecodeLimits, PillowDecoder
    from worker.errors import JobError
    from worker.fetch.dns import parse_address
    from worker.fetch.guard import is_allowed
    from worker.spec import PreprocessSpec

if TYPE_CHECKING:
    from collections.abc import Callable

_SIDE = 32
_LIMITS = DecodeLimits(max_pixels=1_000_000, max_side=4096, max_frames=100, max_scans=20, allow_truncated=False)


def addresses(data: bytes) -> None:
    """A host in any spelling: what is allowed is public, also to Python."""
    host = data.decode(errors="replace")
    for *_, sockaddr in numeric_resolve(host, 80):
        address = ipaddress.ip_address(sockaddr[0])
        if is_allowed(address, ()) and not address.is_global:
            raise AssertionError(host)


def urls(data: bytes) -> None:
    """Any URL: refused, or shown without its query."""
    url = data.decode(errors="surrogateescape")
    with suppress(InvalidJob):
        check_url(url)
        if "?" in redact_url(url):
            raise AssertionError(url)


def messages(data: bytes) -> None:
    """Any list item: parked, or a message whose job is one or is refused by name."""
    with suppress(InvalidMessage):
        validate_message(data, 10.0)
    with suppress(ValueError, RecursionError, InvalidJob):
        kwargs = json.loads(data)
        if isinstance(kwargs, dict):
            ImageJob.from_kwargs(kwargs)


def decoding(data: bytes) -> None:
    """Any file: an image of the right shape, or an error with a code."""
    with suppress(JobError):
        pixels = _decoder().decode(data).pixels
        if pixels.shape != (_SIDE, _SIDE, 3):
            raise AssertionError(pixels.shape)


def _decoder() -> PillowDecoder:
    if not _made:
        _made.append(PillowDecoder(PreprocessSpec(_SIDE, _SIDE), _LIMITS))
        warnings.filterwarnings("ignore", category=UserWarning)
    return _made[0]


_made: list[PillowDecoder] = []
TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (addresses, urls, messages, decoding)
}

if __name__ == "__main__":
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()
