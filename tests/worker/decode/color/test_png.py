"""What a PNG states by chunks is bounded and never makes a picture undecodable."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from tests.support.decoding import decoder_for
from tests.worker.decode.color.patches import chunk, cicp, gama, png
from worker.decode.color.png import color_chunks
from worker.spec import PreprocessSpec

NUMBERS = st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 100_000, 31_270, 32_900, 2_030_000, 2_030_001]))


@given(st.lists(NUMBERS, min_size=8, max_size=8), NUMBERS)
def test_any_numbers_give_a_picture(xy: list[int], gamma: int) -> None:
    content = png(chunk(b"cHRM", struct.pack(">8I", *xy)), gama(gamma))
    assert decoder_for(PreprocessSpec(4, 6)).decode(content).pixels.shape == (4, 6, 3)


@given(st.binary(min_size=4, max_size=4), NUMBERS)
def test_any_codes_and_peaks_give_a_picture(codes: bytes, peak: int) -> None:
    content = png(chunk(b"cICP", codes), chunk(b"cLLI", struct.pack(">2I", peak, 0)))
    assert decoder_for(PreprocessSpec(4, 6)).decode(content).pixels.shape == (4, 6, 3)


def test_a_damaged_chunk_states_nothing() -> None:
    wrong = cicp(9, 16)[:-1] + b"\0"
    assert color_chunks(png(wrong, gama(100_000))) == {b"gAMA": struct.pack(">I", 100_000)}
    assert color_chunks(png(gama(100_000))[:40]) == {}
    assert color_chunks(b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s", 2**32 - 1, b"cICP")) == {}


def test_only_the_first_4096_chunks_are_looked_through() -> None:
    content = png(chunk(b"teXt", b"") * 5000, gama(100_000))
    assert color_chunks(content) == {}
