"""The decoder shows each picture file as Chromium does. The drawings are kept, so Chromium is not needed here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.support.decoding import decoder_for
from tests.support.pictures import encoded
from tests.worker.decode.browser.listed import FOLDER, Listed, read_list
from worker.encode.open_clip import EncoderConfig, OpenClipEncoder
from worker.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from worker.decode.pillow import DecodedImage, PillowDecoder

LISTED = read_list()
DRAWN = [one for one in LISTED if not one.code]
REFUSED = [one for one in LISTED if one.code]
SIMILAR = 0.98
"""The lowest cosine of the small model's vectors of the file and of its drawing."""
_BATCH = 32


@dataclass(frozen=True)
class Likeness:
    """How close a picture is to its drawing.

    Attributes:
        cosine: The cosine of the small model's vectors.
        difference: The mean difference of a channel, of 255.
        sizes: Width and height of the picture and of its drawing, upright.
    """

    cosine: float
    difference: float
    sizes: tuple[tuple[int, int], tuple[int, int]]

    def is_close(self, difference: float) -> bool:
        """Return whether the picture may pass for its drawing."""
        return self.cosine >= SIMILAR and self.difference <= difference and self.sizes[0] == self.sizes[1]


@pytest.fixture(scope="module")
def encoder() -> OpenClipEncoder:
    return OpenClipEncoder(EncoderConfig("emoji-clip", "bundled", "cpu", "fp32"))


@pytest.fixture(scope="module")
def decoder(encoder: OpenClipEncoder) -> PillowDecoder:
    """A decoder for the small model's input that crops nothing, so that all of a picture counts."""
    return decoder_for(replace(encoder.spec, resize_mode="squash"))


@pytest.fixture(scope="module")
def drawings(decoder: PillowDecoder) -> dict[str, DecodedImage]:
    """The drawings, resized as the files are. What remains is the difference of decoding and of color."""
    return {one.name: decoder.decode(one.shown.read_bytes()) for one in DRAWN}


@pytest.fixture(scope="module")
def found(
    decoder: PillowDecoder, encoder: OpenClipEncoder, drawings: dict[str, DecodedImage]
) -> dict[str, Likeness | JobError]:
    """What became of each file."""
    decoded, failed = {}, {}
    for one in DRAWN:
        try:
            decoded[one.name] = decoder.decode(one.path.read_bytes())
        except JobError as error:
            failed[one.name] = error
    pairs = [(image, drawings[name]) for name, image in decoded.items()]
    return {**failed, **dict(zip(decoded, compare(pairs, encoder), strict=True))}


def compare(pairs: list[tuple[DecodedImage, DecodedImage]], encoder: OpenClipEncoder) -> list[Likeness]:
    """Compare pairs of images. Encodes all that differ in a few batches, since one by one costs ten times as much."""
    differences = [float(np.abs(one.pixels.astype(int) - other.pixels).mean()) for one, other in pairs]
    different = [index for index, difference in enumerate(differences) if difference]
    pixels = np.stack([image.pixels for index in different for image in pairs[index]])
    vectors = np.concatenate(
        [encoder.encode(pixels[start : start + _BATCH]) for start in range(0, len(pixels), _BATCH)]
    )
    cosines = dict(zip(different, (vectors[::2] * vectors[1::2]).sum(axis=1).tolist(), strict=True))
    return [
        Likeness(cosines.get(index, 1.0), difference, ((one.width, one.height), (other.width, other.height)))
        for index, (difference, (one, other)) in enumerate(zip(differences, pairs, strict=True))
    ]


@pytest.mark.parametrize("one", DRAWN, ids=lambda one: one.name)
def test_a_picture_is_what_the_browser_shows(one: Listed, found: dict[str, Likeness | JobError]) -> None:
    likeness = found[one.name]
    assert isinstance(likeness, Likeness), likeness
    assert likeness.is_close(one.difference), likeness


@pytest.mark.parametrize("one", REFUSED, ids=lambda one: one.name)
def test_a_file_of_another_format_has_a_code(one: Listed, decoder: PillowDecoder) -> None:
    with pytest.raises(JobError) as refused:
        decoder.decode(one.path.read_bytes())
    assert refused.value.code == one.code


def _with_gamma(pixels: NDArray[np.uint8], gamma: float) -> NDArray[np.uint8]:
    return ((pixels / 255.0) ** gamma * 255).round().astype(np.uint8)


MISTAKES: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "linear light taken for sRGB": lambda pixels: _with_gamma(pixels, 2.2),
    "gamma 2.4 taken for 2.2": lambda pixels: _with_gamma(pixels, 2.4 / 2.2),
    "red and blue swapped": lambda pixels: pixels[:, :, ::-1],
    "inverted": lambda pixels: 255 - pixels,
    "video range taken for full range": lambda pixels: (16 + pixels * (219 / 255)).round().astype(np.uint8),
    "black behind transparent parts": lambda pixels: np.where(pixels == 255, 0, pixels).astype(np.uint8),
    "mirrored": lambda pixels: pixels[:, ::-1],
    "upside down": lambda pixels: pixels[::-1],
    "shifted by a sixteenth": lambda pixels: np.roll(pixels, pixels.shape[1] // 16, axis=1),
    "less color": lambda pixels: (pixels * 0.75 + pixels.mean(axis=2, keepdims=True) * 0.25).round().astype(np.uint8),
}


@pytest.fixture(scope="module")
def mistaken(
    decoder: PillowDecoder, encoder: OpenClipEncoder, drawings: dict[str, DecodedImage]
) -> dict[str, Likeness]:
    """How close a picture is to its drawing after each mistake."""
    pairs = []
    for mistake, convert in MISTAKES.items():
        name = "png-rgba.png" if "transparent" in mistake else "png-rgb.png"
        with Image.open(FOLDER / "shown" / f"{name}.png") as right:
            wrong = Image.fromarray(np.ascontiguousarray(convert(np.asarray(right.convert("RGB")))))
        pairs.append((decoder.decode(encoded(wrong, "PNG")), drawings[name]))
    return dict(zip(MISTAKES, compare(pairs, encoder), strict=True))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_conversion_does_not_pass(mistake: str, mistaken: dict[str, Likeness]) -> None:
    """Even the widest bound in the list is narrow enough to see each mistake."""
    assert not mistaken[mistake].is_close(max(one.difference for one in DRAWN)), mistaken[mistake]


def test_every_file_is_listed_and_drawn() -> None:
    assert {path.name for path in (FOLDER / "files").iterdir()} == {one.name for one in LISTED}
    assert set((FOLDER / "shown").iterdir()) == {one.shown for one in DRAWN}
