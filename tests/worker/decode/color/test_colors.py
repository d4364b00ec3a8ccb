"""Colors are those that Chromium 156 shows, whatever way a file states them.

The colors of `shown.json` were read from Chromium's drawing; `python -m tests.worker.decode.color.draw` draws again.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.support.decoding import decoder_for
from tests.worker.decode.color.files import files
from tests.worker.decode.color.patches import COLUMNS, FIELD, ROWS, SHOWN, fields_of
from worker.spec import PreprocessSpec

FILES = files()
DRAWN = json.loads(SHOWN.read_text())


@pytest.mark.parametrize("name", FILES)
def test_colors_are_as_chromium_shows_them(name: str) -> None:
    decoder = decoder_for(PreprocessSpec(ROWS * FIELD, COLUMNS * FIELD, resize_mode="squash"))
    shown = np.array([tuple(bytes.fromhex(color)) for color in DRAWN[name].split()])
    assert np.abs(fields_of(decoder.decode(FILES[name]).pixels) - shown).max() <= 2
