"""Every vector is open_clip's fp32 vector of that picture, whatever the file, the decoder, the precision, the batch."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image, ImageOps

from tests.support.decoding import decoder_for
from tests.support.models import DEFAULT_MODEL, SMALL_CHECKPOINT
from tests.support.pictures import EMOJI, PHOTOS, encoded, photo
from worker.encode.open_clip import EncoderConfig, OpenClipEncoder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

SAME = 0.999


@dataclass(frozen=True)
class Reference:
    """open_clip alone: its model in fp32 on the CPU, its transform, encode_image, normalised."""

    model: Any
    transform: Any

    def embed(self, image: Image.Image) -> NDArray[np.float32]:
        with torch.no_grad():
            features = self.model.encode_image(self.transform(image).unsqueeze(0))
        vector: NDArray[np.float32] = torch.nn.functional.normalize(features, dim=-1)[0].numpy()
        return vector

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """Return what the transform makes of a picture before it becomes a tensor."""
        for step in self.transform.transforms[:-2]:
            image = step(image)
        return np.asarray(image)


@dataclass(frozen=True)
class Subject:
    """An encoder, and what it is held against."""

    model: str
    encoder: OpenClipEncoder
    reference: Reference

    def decode(self, content: bytes) -> NDArray[np.uint8]:
        return decoder_for(self.encoder.spec).decode(content).pixels


@pytest.fixture(scope="session", params=["emoji-clip", DEFAULT_MODEL])
def weights(request: pytest.FixtureRequest, default_checkpoint: Path) -> tuple[str, str]:
    """The small model that ships with the project, and the default model with seeded weights."""
    path = SMALL_CHECKPOINT if request.param == "emoji-clip" else default_checkpoint
    return request.param, str(path)


@pytest.fixture(scope="session")
def reference(weights: tuple[str, str]) -> Reference:
    name, path = weights
    model, _, transform = open_clip.create_model_and_transforms(name, pretrained=path)
    return Reference(model.eval(), transform)


@pytest.fixture(
    scope="session",
    params=[
        ("cpu", "fp32"),
        ("cpu", "bf16"),
        pytest.param(("cuda", "fp32"), marks=pytest.mark.gpu),
        pytest.param(("cuda", "bf16"), marks=pytest.mark.gpu),
        pytest.param(("cuda", "fp16"), marks=pytest.mark.gpu),
    ],
    ids="-".join,
)
def subject(request: pytest.FixtureRequest, weights: tuple[str, str], reference: Reference) -> Subject:
    device, precision = request.param
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU here")
    return Subject(weights[0], OpenClipEncoder(EncoderConfig(*weights, device, precision)), reference)


def on_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    white.alpha_composite(rgba)
    return white.convert("RGB")


def palette_with_transparency() -> bytes:
    picture = photo().quantize(64)
    corner = picture.getpixel((0, 0))
    return encoded(picture, "PNG", transparency=corner)


def sixteen_bit() -> bytes:
    return encoded(Image.fromarray(np.asarray(photo().convert("L")).astype(np.uint16) * 257), "PNG")


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(photo().transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=exif)


def opened(content: bytes) -> Image.Image:
    return Image.open(BytesIO(content))


# Content, and the picture that open_clip's own transform is given: the file as it is where that is right, else
# what a person sees in it. open_clip scales palette pictures without interpolation, hence RGB for the GIF.
CASES: dict[str, tuple[Callable[[], bytes], Callable[[bytes], Image.Image]]] = {
    "JPEG": (lambda: encoded(photo(), "JPEG", quality=90), opened),
    "large JPEG": (lambda: encoded(photo().resize((3000, 2250)), "JPEG", quality=90), opened),
    "PNG": (lambda: encoded(photo(), "PNG"), opened),
    "WebP": (lambda: encoded(photo(), "WEBP", quality=80), opened),
    "AVIF": (lambda: encoded(photo(), "AVIF", quality=80), opened),
    "GIF": (lambda: encoded(photo(), "GIF"), lambda content: opened(content).convert("RGB")),
    "CMYK JPEG": (lambda: encoded(photo().convert("CMYK"), "JPEG", quality=90), opened),
    "16-bit PNG": (sixteen_bit, lambda _: photo().convert("L")),
    "palette PNG with transparency": (palette_with_transparency, lambda content: on_white(opened(content))),
    "EXIF-rotated JPEG": (rotated, lambda content: ImageOps.exif_transpose(opened(content))),
}


@pytest.mark.parametrize("case", CASES)
def test_whatever_the_file(case: str, subject: Subject) -> None:
    make, shown = CASES[case]
    content = make()
    vector = subject.encoder.encode(np.stack([subject.decode(content)]))[0]
    assert float(vector @ subject.reference.embed(shown(content))) >= SAME


def test_the_comparison_can_fail(subject: Subject) -> None:
    """Random weights make all vectors similar: what a wrong decoder would see must still lie below the bar."""
    right = subject.reference.embed(photo())
    grey = photo().convert("L")
    wrong = {
        "not turned": photo().transpose(Image.Transpose.ROTATE_90),
        "clipped to white": grey.point(lambda value: min(255, value * 257)),
        "alpha on black": Image.composite(
            photo(), Image.new("RGB", photo().size), grey.point(lambda v: 255 * (v < 200))
        ),
        "squashed": photo().resize((224, 224)),
    }
    for name, image in wrong.items():
        pixels = subject.decode(encoded(image, "PNG"))
        cosine = float(subject.encoder.encode(np.stack([pixels]))[0] @ right)
        assert cosine < SAME, name


# Pictures of which open_clip's own transform makes what a person sees, once they lie on white.
PICTURES = [
    *sorted(path for path in PHOTOS.iterdir() if path.suffix in (".jpg", ".webp", ".avif") and "exif" not in path.name),
    *sorted(EMOJI.iterdir())[:16],
]


@pytest.fixture(scope="session")
def contents() -> list[bytes]:
    return [encoded(on_white(opened(path.read_bytes())), "PNG") for path in PICTURES[:32]]


@pytest.fixture(scope="session")
def expected(contents: list[bytes], reference: Reference) -> NDArray[np.float32]:
    """open_clip's vectors, each made alone."""
    return np.stack([reference.embed(opened(content)) for content in contents])


@pytest.mark.parametrize("decoded_by", ["the fast path", "open_clip"])
@pytest.mark.parametrize("size", [1, 3, 32])
def test_whatever_the_batch(
    size: int, decoded_by: str, subject: Subject, contents: list[bytes], expected: NDArray[np.float32]
) -> None:
    """In batches of every size, at every position, among these neighbours or those."""
    assert len(contents) == 32
    decode = subject.decode if decoded_by == "the fast path" else lambda c: subject.reference.pixels(opened(c))
    pixels = np.stack([decode(content) for content in contents])
    order = np.roll(np.arange(32), size)
    starts = range(0, 32, size)
    vectors = np.concatenate([subject.encoder.encode(pixels[order[start : start + size]]) for start in starts])
    assert (vectors * expected[order]).sum(axis=1).min() >= SAME
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(32), abs=1e-5)
    nearest = (vectors @ expected.T).argmax(axis=1)
    assert (nearest == order).all(), "no vector is a neighbour's"


def test_texts_too(subject: Subject) -> None:
    texts = ["red apple", "a photo of two dogs on a beach", "", "café ☕", "very " * 100 + "long"]
    with torch.no_grad():
        features = subject.reference.model.encode_text(open_clip.get_tokenizer(subject.model)(texts))
    expected = torch.nn.functional.normalize(features, dim=-1).numpy()
    cosines = subject.encoder.encode_texts(texts) @ expected.T
    assert cosines.diagonal().min() >= SAME
    assert (cosines.argmax(axis=1) == np.arange(len(texts))).all()
