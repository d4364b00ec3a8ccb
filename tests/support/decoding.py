"""A decoder with the limits of the default settings, which runs in this process."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from worker.decode.limits import DecodeLimits
from worker.decode.pillow import PillowDecoder

if TYPE_CHECKING:
    from worker.spec import PreprocessSpec

LIMITS = DecodeLimits(max_pixels=50_000_000, max_side=16_384, max_frames=1000, max_scans=100, allow_truncated=False)


def decoder_for(spec: PreprocessSpec, **limits: Any) -> PillowDecoder:
    """Return a decoder with the default limits, except for those given."""
    return PillowDecoder(spec, replace(LIMITS, **limits))
