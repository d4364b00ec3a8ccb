"""Whether a string is a text or an image."""

from __future__ import annotations

import base64
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from producer.api.inputs import guess_modality, looks_like_image
from tests.support.pictures import encoded, photo, small_jpeg

WORDS = st.lists(st.text(string.ascii_letters + string.digits + "äéß'-,.!?/+", min_size=1, max_size=20), min_size=1)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP", "HEIF"])
def test_every_format_is_recognised(file_format: str) -> None:
    if file_format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    content = encoded(photo().resize((32, 24)), file_format)
    assert looks_like_image(content)
    assert guess_modality(base64.b64encode(content).decode()) == "image"
    assert guess_modality(base64.urlsafe_b64encode(content).decode().rstrip("=")) == "image"


def test_both_byte_orders_of_tiff_are_recognised() -> None:
    assert looks_like_image(encoded(Image.new("I;16B", (4, 4)), "TIFF"))


@pytest.mark.parametrize(
    ("text", "modality"),
    [
        ("https://example.com/a.jpg?x=1", "image"),
        ("HTTP://example.com", "image"),
        ("https://example.com/a.jpg is a photo", "text"),
        ("a photo of https://example.com", "text"),
        ("data:image/png;base64,AAAA", "image"),
        ("data:text/plain;base64,AAAA", "text"),
        ("data:image/png, nothing", "text"),
        ("a red bicycle", "text"),
        ("/9j/", "text"),
        ("A" * 100, "text"),
        (base64.b64encode(small_jpeg())[:60].decode(), "text"),
        ("", "text"),
    ],
)
def test_a_string_is_an_image_only_if_it_can_be_nothing_else(text: str, modality: str) -> None:
    assert guess_modality(text) == modality


@given(WORDS)
def test_no_text_of_words_is_taken_for_an_image(words: list[str]) -> None:
    assert guess_modality(" ".join(words)) == "text"


@given(st.text(string.ascii_letters + string.digits, min_size=64, max_size=200))
def test_one_long_word_is_an_image_only_if_it_begins_like_one(word: str) -> None:
    is_image = word.startswith(("/9j/", "iVBORw", "R0lGOD", "UklGR", "Qk", "SUkq", "TU0AK")) or "ZnR5cG" in word[:12]
    assert guess_modality(word) == "text" or is_image
