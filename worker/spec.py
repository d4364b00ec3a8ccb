"""The input that the model takes: what `decode` makes and `encode` reads. Chosen by the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class PreprocessSpec:
    """What the model's vision tower takes: the part of open_clip's preprocessing that concerns geometry.

    Attributes:
        height: Pixels of the input, top to bottom.
        width: Pixels of the input, left to right.
        resize_mode: `shortest` scales the shorter side and crops the centre, `squash` ignores the aspect ratio.
        interpolation: The filter for resizing.
    """

    height: int
    width: int
    resize_mode: Literal["shortest", "squash"] = "shortest"
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
