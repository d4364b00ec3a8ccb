"""Every vector equals open_clip's own fp32 vector of the image, for each file format, precision and batch size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
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
from worker.encode.weights import BUNDLED, UNTRAINED

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

SAME = 0.999
SMALL_MODEL = "emoji-clip"
TEXTS = ["red apple", "a photo of two dogs on a beach", "", "café ☕", "very " * 100 + "long"]


def on_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    white.alpha_composite(rgba)
    return white.convert("RGB")


def palette_with_transparency() -> bytes:
    image = photo().quantize(64)
    corner = image.getpixel((0, 0))
    return encoded(image, "PNG", transparency=corner)


def sixteen_bit() -> bytes:
    return encoded(Image.fromarray(np.asarray(photo().convert("L")).astype(np.uint16) * 257), "PNG")


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(photo().transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=exif)


def open_image(content: bytes) -> Image.Image:
    return Image.open(BytesIO(content))


# How to make the file, and how to open it for open_clip's own transform: unchanged where the transform handles it
# correctly, else as a person sees the image. open_clip scales palette images without interpolation, hence RGB for GIF.
FILES: dict[str, tuple[Callable[[], bytes], Callable[[bytes], Image.Image]]] = {
    "JPEG": (lambda: encoded(photo(), "JPEG", quality=90), open_image),
    "large JPEG": (lambda: encoded(photo().resize((3000, 2250)), "JPEG", quality=90), open_image),
    "PNG": (lambda: encoded(photo(), "PNG"), open_image),
    "WebP": (lambda: encoded(photo(), "WEBP", quality=80), open_image),
    "AVIF": (lambda: encoded(photo(), "AVIF", quality=80), open_image),
    "GIF": (lambda: encoded(photo(), "GIF"), lambda content: open_image(content).convert("RGB")),
    "CMYK JPEG": (lambda: encoded(photo().convert("CMYK"), "JPEG", quality=90), open_image),
    "16-bit PNG": (sixteen_bit, lambda _: photo().convert("L")),
    "palette PNG with transparency": (palette_with_transparency, lambda content: on_white(open_image(content))),
    "EXIF-rotated JPEG": (rotated, lambda content: ImageOps.exif_transpose(open_image(content))),
}

# Images that open_clip's own transform handles correctly, once they have a white background.
PATHS = [
    *sorted(path for path in PHOTOS.iterdir() if path.suffix in (".jpg", ".webp", ".avif") and "exif" not in path.name),
    *sorted(EMOJI.iterdir())[:16],
][:32]


@dataclass(frozen=True, eq=False)
class Reference:
    """open_clip alone: its model in fp32 on the CPU, its transform, encode_image, normalised."""

    name: str
    model: Any
    transform: Any

    @classmethod
    def load(cls, name: str) -> Reference:
        """Load the bundled weights of the small model, or seeded random weights of the default model."""
        torch.manual_seed(0)
        weights = str(SMALL_CHECKPOINT) if name == SMALL_MODEL else None
        model, _, transform = open_clip.create_model_and_transforms(name, pretrained=weights)
        return cls(name, model.eval(), transform)

    def embed(self, images: list[Image.Image]) -> Vectors:
        """Return the images' vectors, computed in one batch."""
        with torch.no_grad():
            features = self.model.encode_image(torch.stack([self.transform(image) for image in images]))
        vectors: Vectors = torch.nn.functional.normalize(features, dim=-1).numpy()
        return vectors

    def embed_texts(self, texts: list[str]) -> Vectors:
        with torch.no_grad():
            features = self.model.encode_text(open_clip.get_tokenizer(self.name)(texts))
        vectors: Vectors = torch.nn.functional.normalize(features, dim=-1).numpy()
        return vectors

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """Return the image after the transform's geometric steps, before it becomes a tensor."""
        for step in self.transform.transforms[:-2]:
            image = step(image)
        return np.asarray(image)


@dataclass(frozen=True)
class Subject:
    """An encoder and its reference."""

    encoder: OpenClipEncoder
    reference: Reference

    def decode(self, contents: list[bytes]) -> NDArray[np.uint8]:
        """Decode files with the worker's decoder."""
        decoder = decoder_for(self.encoder.spec)
        return np.stack([decoder.decode(content).pixels for content in contents])


@pytest.fixture(scope="module")
def load_subject() -> Callable[[str, str, str], Subject]:
    """A function that returns the subject for a model, a device and a precision. It loads each only once."""
    reference_of = cache(Reference.load)

    @cache
    def load(model: str, device: str, precision: str) -> Subject:
        weights = BUNDLED if model == SMALL_MODEL else UNTRAINED
        return Subject(OpenClipEncoder(EncoderConfig(model, weights, device, precision)), reference_of(model))

    return load


@pytest.fixture(
    scope="module",
    params=[
        (SMALL_MODEL, "cpu", "fp32"),
        (SMALL_MODEL, "cpu", "bf16"),
        *(
            pytest.param((model, "cuda", precision), marks=pytest.mark.gpu)
            for model in (SMALL_MODEL, DEFAULT_MODEL)
            for precision in ("fp32", "bf16", "fp16")
        ),
    ],
    ids="-".join,
)
def subject(request: pytest.FixtureRequest, load_subject: Callable[[str, str, str], Subject]) -> Subject:
    """The small model on the CPU, and both models on a GPU. Tests at the end cover the default model on the CPU."""
    if "cuda" in request.param and not torch.cuda.is_available():
        pytest.skip("no GPU here")
    return load_subject(*request.param)


@pytest.fixture(scope="module")
def images() -> list[bytes]:
    """32 different images, small enough to be decoded quickly."""
    opened = [on_white(open_image(path.read_bytes())) for path in PATHS]
    for image in opened:
        image.thumbnail((480, 480))
    return [encoded(image, "PNG") for image in opened]


@pytest.fixture(scope="module")
def expected_of(images: list[bytes]) -> Callable[[Reference], Vectors]:
    """A function that returns the reference vectors of the images. It computes them once for each model."""
    return cache(lambda reference: reference.embed([open_image(image) for image in images]))


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return {name: make() for name, (make, _) in FILES.items()}


def cosines_of(files: dict[str, bytes], subject: Subject) -> dict[str, float]:
    """Return, for each of these files, the cosine of the encoder's vector and the reference's."""
    expected = subject.reference.embed([FILES[name][1](content) for name, content in files.items()])
    vectors = subject.encoder.encode(subject.decode(list(files.values())))
    return dict(zip(files, (vectors * expected).sum(axis=1).tolist(), strict=True))


def test_every_file_format_gives_the_reference_vector(subject: Subject, files: dict[str, bytes]) -> None:
    cosines = cosines_of(files, subject)
    assert len(cosines) == 10
    assert min(cosines.values()) >= SAME, cosines


@pytest.mark.parametrize("model", [SMALL_MODEL, DEFAULT_MODEL])
def test_the_comparison_detects_wrong_pixels(model: str, load_subject: Callable[[str, str, str], Subject]) -> None:
    """Random weights make all vectors similar. The pixels of a faulty decoder must still give a cosine below SAME."""
    subject = load_subject(model, "cpu", "fp32")
    grey = photo().convert("L")
    wrong = {
        "not rotated": photo().transpose(Image.Transpose.ROTATE_90),
        "clipped to white": grey.point(lambda value: min(255, value * 257)),
        "alpha on black": Image.composite(
            photo(), Image.new("RGB", photo().size), grey.point(lambda v: 255 * (v < 200))
        ),
        "squashed": photo().resize((224, 224)),
    }
    vectors = subject.encoder.encode(subject.decode([encoded(image, "PNG") for image in wrong.values()]))
    cosines = dict(zip(wrong, (vectors @ subject.reference.embed([photo()])[0]).tolist(), strict=True))
    assert max(cosines.values()) < SAME, cosines


@pytest.mark.parametrize("decoded_by", ["the worker", "open_clip"])
def test_the_batch_does_not_change_the_vectors(
    decoded_by: str, subject: Subject, images: list[bytes], expected_of: Callable[[Reference], Vectors]
) -> None:
    """Each image is encoded in batches of different sizes, at different positions, with different neighbours.

    A batch of one costs the most and has no neighbours, so only eight images are encoded alone. With open_clip's pixels
    one batch shows that the encoder alone is right; the sizes of batches do not depend on who decoded.
    """
    assert len(images) == 32
    if decoded_by == "the worker":
        pixels = subject.decode(images)
    else:
        pixels = np.stack([subject.reference.pixels(open_image(image)) for image in images])
    for size, count in ((1, 8), (3, 32), (32, 32)) if decoded_by == "the worker" else ((32, 32),):
        order = np.roll(np.arange(32), size)[:count]
        check_batches(subject, pixels[order], expected_of(subject.reference)[order], size)


def check_batches(subject: Subject, pixels: NDArray[np.uint8], expected: Vectors, size: int) -> None:
    starts = range(0, len(pixels), size)
    vectors = np.concatenate([subject.encoder.encode(pixels[start : start + size]) for start in starts])
    assert (vectors * expected).sum(axis=1).min() >= SAME
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(pixels)), abs=1e-5)
    nearest = (vectors @ expected.T).argmax(axis=1)
    assert (nearest == np.arange(len(pixels))).all(), "no image gets a neighbour's vector"


def test_texts_have_the_reference_vectors(subject: Subject) -> None:
    check_texts(subject, TEXTS)


def check_texts(subject: Subject, texts: list[str]) -> None:
    cosines = subject.encoder.encode_texts(texts) @ subject.reference.embed_texts(texts).T
    assert cosines.diagonal().min() >= SAME
    assert (cosines.argmax(axis=1) == np.arange(len(texts))).all()


def test_the_default_model_in_fp32(
    load_subject: Callable[[str, str, str], Subject], files: dict[str, bytes], images: list[bytes]
) -> None:
    """All files, and four photos in batches of three and one. test_default_model.py compares its texts."""
    subject = load_subject(DEFAULT_MODEL, "cpu", "fp32")
    cosines = cosines_of(files, subject)
    assert min(cosines.values()) >= SAME, cosines
    expected = subject.reference.embed([open_image(image) for image in images[:4]])
    check_batches(subject, subject.decode(images[:4]), expected, 3)


def test_the_default_model_in_bf16(load_subject: Callable[[str, str, str], Subject], files: dict[str, bytes]) -> None:
    """A few files, since most CPUs need seconds for each; the other tests combine bf16 with all files and batches."""
    subject = load_subject(DEFAULT_MODEL, "cpu", "bf16")
    names = ("large JPEG", "palette PNG with transparency", "EXIF-rotated JPEG")
    cosines = cosines_of({name: files[name] for name in names}, subject)
    assert min(cosines.values()) >= SAME, cosines
    check_texts(subject, [TEXTS[0], TEXTS[-1]])
