"""Vectors are open_clip's own, whatever the file, the batch and the precision; without weights there are none."""

from __future__ import annotations

import json
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image, ImageOps

from tests.support.pictures import encoded, photo
from worker.decoder import Decoder
from worker.encoder import EncoderChoice, OpenClipEncoder, model_id
from worker.errors import ModelUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

MODEL = "ViT-B-32-quickgelu"
SAME = 0.9995


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The production model's architecture with seeded weights, as a checkpoint file."""
    torch.manual_seed(7)
    model = open_clip.create_model(MODEL)
    path = tmp_path_factory.mktemp("weights") / "seeded.pt"
    torch.save(model.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def reference(checkpoint: Path) -> Callable[[Image.Image], NDArray[np.float32]]:
    """open_clip alone: its model, its transform, encode_image, normalised."""
    model, _, transform = open_clip.create_model_and_transforms(MODEL, pretrained=str(checkpoint))
    model.eval()

    def embed(image: Image.Image) -> NDArray[np.float32]:
        with torch.no_grad():
            features = model.encode_image(transform(image).unsqueeze(0))
            vector: NDArray[np.float32] = torch.nn.functional.normalize(features, dim=-1)[0].numpy()
        return vector

    return embed


@pytest.fixture(scope="session", params=["fp32", "bf16"])
def encoder(request: pytest.FixtureRequest, checkpoint: Path) -> OpenClipEncoder:
    return OpenClipEncoder(EncoderChoice(MODEL, str(checkpoint), "cpu", request.param))


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
def test_the_vector_is_open_clips_own(case: str, encoder: OpenClipEncoder, reference: Any) -> None:
    make, shown = CASES[case]
    content = make()
    image = Decoder(encoder.spec, max_pixels=10**8, parallel=1).decode(content)
    vector = encoder.encode(np.stack([image.pixels]))[0]
    assert float(vector @ reference(shown(content))) >= SAME


def test_the_comparison_can_fail(encoder: OpenClipEncoder, reference: Any) -> None:
    """Random weights make all vectors similar: what a wrong decoder would see must still lie below the bar."""
    decoder = Decoder(encoder.spec, max_pixels=10**8, parallel=1)
    right = reference(photo())
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
        pixels = decoder.decode(encoded(image, "PNG")).pixels
        cosine = float(encoder.encode(np.stack([pixels]))[0] @ right)
        assert cosine < SAME, name


def test_batch_and_position_change_nothing(encoder: OpenClipEncoder) -> None:
    rng = np.random.default_rng(3)
    batch = rng.integers(0, 255, (32, 224, 224, 3), np.uint8)
    together = encoder.encode(batch)
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(32), abs=1e-5)
    for position in (0, 15, 31):
        alone = encoder.encode(batch[position : position + 1])[0]
        assert float(alone @ together[position]) >= 0.999
    assert float(together[0] @ together[1]) < 0.999, "different images must differ for this to mean anything"


def test_auto_precision_measures_and_takes_one_of_the_two() -> None:
    encoder = OpenClipEncoder(EncoderChoice("ViT-S-32-alt", "untrained"))
    assert encoder.precision in ("fp32", "bf16")
    assert encoder.dim == 256
    assert encoder.device in ("cpu", "cuda", "mps")


def test_untrained_is_seeded(caplog: pytest.LogCaptureFixture) -> None:
    """The same vectors at every start, and a warning each time."""
    batch = np.full((1, 224, 224, 3), 100, np.uint8)
    choice = EncoderChoice("ViT-S-32-alt", "untrained", "cpu", "fp32")
    vectors = [OpenClipEncoder(choice).encode(batch) for _ in range(2)]
    assert np.array_equal(vectors[0], vectors[1])
    assert caplog.text.count("CLIP_PRETRAINED=untrained") == 2


def test_model_ids_name_what_made_the_vector(tmp_path: Path) -> None:
    """Two files of one name are two models."""
    one, other = tmp_path / "a" / "w.pt", tmp_path / "b" / "w.pt"
    for path in (one, other):
        path.parent.mkdir()
        path.write_text(str(path))
    assert model_id(MODEL, "openai") == "ViT-B-32-quickgelu/openai"
    assert model_id("hf-hub:org/repo", "openai") == "hf-hub:org/repo"
    assert model_id(MODEL, str(one)).startswith("ViT-B-32-quickgelu/w.pt@")
    assert model_id(MODEL, str(one)) != model_id(MODEL, str(other))


@pytest.mark.parametrize(
    ("model", "pretrained"),
    [
        ("ViT-B-32-quickgelu", "/no/such/file.pt"),
        ("ViT-B-32-quickgelu", "no-such-tag"),
        ("no-such-model", "openai"),
        ("ViT-B-32-quickgelu", ""),
        ("local-dir:/no/such/folder", "openai"),
    ],
)
def test_a_model_that_cannot_be_loaded_says_what_to_set(model: str, pretrained: str) -> None:
    with pytest.raises(ModelUnavailable, match="CLIP_PRETRAINED=untrained") as caught:
        OpenClipEncoder(EncoderChoice(model, pretrained, "cpu", "fp32"))
    assert f"CLIP_MODEL={model}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_with_a_configuration_and_no_weights_stops_the_start(tmp_path: Path) -> None:
    """open_clip itself would go on with random weights."""
    config = {"model_cfg": open_clip.get_model_config("ViT-S-32-alt"), "preprocess_cfg": {}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailable, match="local-dir:"):
        OpenClipEncoder(EncoderChoice(f"local-dir:{tmp_path}", "", "cpu", "fp32"))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut short"])
def test_a_checkpoint_that_cannot_be_read_stops_the_start(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.pt"
    path.write_bytes(content)
    with pytest.raises(ModelUnavailable, match=r"broken\.pt"):
        OpenClipEncoder(EncoderChoice(MODEL, str(path), "cpu", "fp32"))


def test_a_checkpoint_of_another_model_stops_the_start(checkpoint: Path) -> None:
    with pytest.raises(ModelUnavailable, match="ViT-S-32-alt"):
        OpenClipEncoder(EncoderChoice("ViT-S-32-alt", str(checkpoint), "cpu", "fp32"))
