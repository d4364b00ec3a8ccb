"""The decoder shows each picture file as Chromium does. The drawings are kept, so Chromium is not needed here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.decoding import decoder_for
from tests.worker.decode.browser.listed import FOLDER, Listed, read_list
from worker.encode.open_clip import EncoderConfig, OpenClipEncoder
from worker.errors import JobError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from worker.decode.pillow import PillowDecoder

LISTED = read_list()
DRAWN = [one for one in LISTED if not one.code]
SIMILAR = 0.98
"""The lowest cosine of the small model's vectors of the file and of its drawing."""


def _cases(listed: list[Listed]) -> list[object]:
    return [
        pytest.param(one, id=one.name, marks=[pytest.mark.xfail(reason=one.wrong, strict=True)] if one.wrong else [])
        for one in listed
    ]


@pytest.fixture(scope="module")
def encoder() -> OpenClipEncoder:
    return OpenClipEncoder(EncoderConfig("emoji-clip", "bundled", "cpu", "fp32"))


@pytest.fixture(scope="module")
def decoder(encoder: OpenClipEncoder) -> PillowDecoder:
    """A decoder for the small model's input that crops nothing, so that all of a picture counts."""
    return decoder_for(replace(encoder.spec, resize_mode="squash"))


@dataclass(frozen=True)
class Likeness:
    """How close a picture is to its drawing.

    Attributes:
        cosine: The cosine of the small model's vectors.
        difference: The mean difference of a channel, of 255.
    """

    cosine: float
    difference: float


def likeness(pixels: NDArray[np.uint8], drawing: NDArray[np.uint8], encoder: OpenClipEncoder) -> Likeness:
    vectors = encoder.encode(np.stack([pixels, drawing]))
    return Likeness(float(vectors[0] @ vectors[1]), float(np.abs(pixels.astype(int) - drawing.astype(int)).mean()))


@pytest.mark.parametrize("one", _cases(DRAWN))
def test_a_picture_is_what_the_browser_shows(one: Listed, decoder: PillowDecoder, encoder: OpenClipEncoder) -> None:
    """Both are resized alike, so what remains is the difference of decoding and of color."""
    decoded, drawing = (decoder.decode(path.read_bytes()) for path in (one.path, one.shown))
    found = likeness(decoded.pixels, drawing.pixels, encoder)
    assert (decoded.width, decoded.height) == (drawing.width, drawing.height)
    assert found.cosine >= SIMILAR, found
    assert found.difference <= one.difference, found


@pytest.mark.parametrize("one", _cases([one for one in LISTED if one.code]))
def test_a_file_that_is_not_supported_has_a_code(one: Listed, decoder: PillowDecoder) -> None:
    with pytest.raises(JobError) as refused:
        decoder.decode(one.path.read_bytes())
    assert refused.value.code == one.code


def test_every_file_is_listed_and_drawn() -> None:
    assert {path.name for path in (FOLDER / "files").iterdir()} == {one.name for one in LISTED}
    assert set((FOLDER / "shown").iterdir()) == {one.shown for one in DRAWN}
