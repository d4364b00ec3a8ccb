"""Augments training images, so that the model ignores differences of style, camera and web page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

if TYPE_CHECKING:
    from collections.abc import Callable


def augment(images: torch.Tensor, size: int, generator: torch.Generator) -> torch.Tensor:
    """Rotate, shift, stretch and tint images, and put them on backgrounds.

    Args:
        images: uint8 of shape (n, 4, height, width), RGBA with premultiplied alpha.
        size: Height and width of the result in pixels.
        generator: The source of all randomness.

    Returns:
        float32 of shape (n, 3, size, size), 0 to 1.
    """
    count = len(images)

    def between(low: float, high: float, *shape: int) -> torch.Tensor:
        return torch.rand(count, *shape, generator=generator) * (high - low) + low

    def chance(share: float, *shape: int) -> torch.Tensor:
        return torch.rand(count, *shape, generator=generator) < share

    grid = F.affine_grid(_placement(between, chance), [count, 4, size, size], align_corners=False)
    rgba = F.grid_sample(images.float().div_(255), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    uncovered = 1 - rgba[:, 3:]
    images = torch.bmm(_tint(between, chance), rgba.flatten(2)).view(count, 3, size, size)

    patches = F.interpolate(between(0, 1, 3, 4, 4), size=(size, size), mode="bilinear", align_corners=False)
    background = torch.where(chance(0.5, 1, 1, 1), between(0, 1, 3, 1, 1), patches)
    images += uncovered * torch.where(chance(0.6, 1, 1, 1), torch.ones(()), background)

    # A blurred copy imitates an image that was enlarged.
    soft = F.interpolate(F.avg_pool2d(images, 2), size=(size, size), mode="bilinear", align_corners=False)
    images = torch.where(chance(0.25, 1, 1, 1), soft, images)
    images += torch.randn(1, 3, size, size, generator=generator) * between(0, 0.06, 1, 1, 1) * chance(0.3, 1, 1, 1)
    return _cut_out(images, between, chance).clamp_(0, 1)


def _placement(between: Callable[..., torch.Tensor], chance: Callable[..., torch.Tensor]) -> torch.Tensor:
    """Return affine maps of shape (n, 2, 3), from the result's coordinates to the image's."""
    angle, zoom, stretch = between(-0.3, 0.3) * chance(0.7), between(0.95, 1.5), between(0.85, 1.18)
    room = (zoom - 1).clamp(min=0.1)
    rows = (
        (angle.cos() * zoom * stretch, between(-0.15, 0.15) - angle.sin() * zoom, between(-1, 1) * room),
        (angle.sin() * zoom, angle.cos() * zoom / stretch, between(-1, 1) * room),
    )
    return torch.stack([torch.stack(row, 1) for row in rows], 1)


def _tint(between: Callable[..., torch.Tensor], chance: Callable[..., torch.Tensor]) -> torch.Tensor:
    """Return colour maps of shape (n, 3, 4), from premultiplied RGBA to RGB: saturation, contrast, brightness."""
    saturation = torch.where(chance(0.04, 1, 1), torch.zeros(()), between(0.5, 1.5, 1, 1))
    gain = between(0.6, 1.4, 1, 1)
    mixed = saturation * torch.eye(3) + (1 - saturation) / 3
    lift = between(-0.12, 0.12, 3, 1) + between(-0.1, 0.1, 1, 1) + 0.5 * (1 - gain)
    return torch.cat([gain * mixed, lift], 2)


def _cut_out(
    images: torch.Tensor, between: Callable[..., torch.Tensor], chance: Callable[..., torch.Tensor]
) -> torch.Tensor:
    """Cover a rectangle (DeVries and Taylor 2017, "Improved Regularization of Convolutional Neural Networks")."""
    size = images.shape[-1]
    line = torch.arange(size)
    top, left = between(0, 0.8, 1) * size, between(0, 0.8, 1) * size
    rows = (line >= top) & (line < top + between(0.1, 0.4, 1) * size)
    columns = (line >= left) & (line < left + between(0.1, 0.4, 1) * size)
    covered = (rows[:, None, :, None] & columns[:, None, None, :]) & chance(0.4, 1, 1, 1)
    return torch.where(covered, between(0, 1, 3, 1, 1), images)
