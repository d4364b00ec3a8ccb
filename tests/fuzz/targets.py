"""The fuzz targets: `python -m tests.fuzz.targets NAME [libFuzzer's options]`. A target raises if it fails."""

from __future__ import annotations

import json
import sys
import warnings
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

import atheris

with atheris.instrument_imports(include=["producer", "worker", "PIL"]):
    from producer.contract.errors import InvalidJob
    from producer.contract.job import ImageJob
    from producer.contract.urls import check_url, redact_url
    from worker.broker.validation import InvalidMessage, validate_message
    from worker.decode.limits import DecodeLimits
    from worker.decode.pillow import PillowDecoder
    from worker.errors import JobError
    from worker.fetch.dns import parse_address
    from worker.fetch.guard import is_allowed
    from worker.spec import PreprocessSpec

if TYPE_CHECKING:
    from collections.abc import Callable

_SIDE = 32
_LIMITS = DecodeLimits(max_pixels=1_000_000, max_side=4096, max_frames=100, max_scans=20, allow_truncated=False)


def addresses(data: bytes) -> None:
    """Any host: Python agrees that every allowed address is public."""
    host = data.decode(errors="replace")
    address = parse_address(host)
    if address and is_allowed(address, ()) and not address.is_global:
        raise AssertionError(host)


def urls(data: bytes) -> None:
    """Any URL: it is refused, or it can be shown without its query."""
    url = data.decode(errors="surrogateescape")
    with suppress(InvalidJob):
        check_url(url)
        if "?" in redact_url(url):
            raise AssertionError(url)


def messages(data: bytes) -> None:
    """Any message: validation accepts it or raises `InvalidMessage`, and its job is valid or raises `InvalidJob`."""
    with suppress(InvalidMessage):
        validate_message(data)
    with suppress(ValueError, RecursionError, InvalidJob):
        kwargs = json.loads(data)
        if isinstance(kwargs, dict):
            ImageJob.from_kwargs(kwargs)


def decoding(data: bytes) -> None:
    """Any file: the result is an image of the right shape or a `JobError`."""
    with suppress(JobError):
        pixels = _decoder().decode(data).pixels
        if pixels.shape != (_SIDE, _SIDE, 3):
            raise AssertionError(pixels.shape)


@cache
def _decoder() -> PillowDecoder:
    warnings.filterwarnings("ignore", category=UserWarning)
    return PillowDecoder(PreprocessSpec(_SIDE, _SIDE), _LIMITS)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (addresses, urls, messages, decoding)
}

if __name__ == "__main__":
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()
