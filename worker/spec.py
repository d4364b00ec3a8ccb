"""Describes the model's input. The decoder produces it and the encoder consumes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class PreprocessSpec:
    """The geometric part of open_clip's preprocessing: how an image becomes the model's input.

    Attributes:
        height: Height of the input in pixels.
        width: Width of the input in pixels.
        resize_mode: `shortest` scales the shorter side and crops the center; `squash` ignores the aspect ratio.
        interpolation: The filter for resizing.
    """

    height: int
    width: int
    resize_mode: Literal["shortest", "squash"] = "shortest"
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
