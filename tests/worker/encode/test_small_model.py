"""The small model finds held-out images, its model card is correct, and its training can be resumed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file

import worker.encode.models
from tests.support.decoding import decoder_for
from tests.support.models import SMALL_CHECKPOINT
from tests.support.pictures import EMOJI
from worker.encode.models.augment import augment
from worker.encode.models.evaluate import ranks
from worker.encode.models.pictures import HELD_OUT, SIZE, TRAINING_SETS, Emoji, PictureSet
from worker.encode.models.train import Pictures, Recipe, Training
from worker.encode.open_clip import EncoderConfig, OpenClipEncoder
from worker.encode.weights import BUNDLED

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODELS = Path(worker.encode.models.__path__[0])
CARD = (MODELS / "README.md").read_text()
RECIPE = Recipe(steps=2, batch=4, warm_up=1)


@pytest.fixture(scope="module")
def encoder() -> OpenClipEncoder:
    return OpenClipEncoder(EncoderConfig("emoji-clip", BUNDLED, "cpu", "fp32"))


def test_names_find_their_held_out_images(encoder: OpenClipEncoder) -> None:
    """A search over the 72 images that ship with the project. It would fail if the vectors were noise."""
    decoder = decoder_for(encoder.spec)
    paths = sorted(EMOJI.iterdir())
    images = encoder.encode(np.stack([decoder.decode(path.read_bytes()).pixels for path in paths]))
    found = ranks(encoder.encode_texts([path.stem.replace("-", " ") for path in paths]), images)
    assert (found < 3).mean() >= 0.8
    assert np.median(found) == 0


def test_the_weights_are_small_and_match_the_card(encoder: OpenClipEncoder) -> None:
    size = SMALL_CHECKPOINT.stat().st_size
    assert size <= 12_000_000
    assert f"{size:,} bytes" in CARD
    assert f"{encoder.parameters:,} parameters" in CARD
    assert {value.dtype for value in load_file(SMALL_CHECKPOINT).values() if value.is_floating_point()} == {
        torch.float16
    }


def row_of(one: PictureSet) -> str:
    return rf"\| `{one.package}` \| .*{re.escape(one.author)}.* \| {one.licence} \|"


def test_the_card_names_every_training_set_with_its_licence_and_none_is_held_out() -> None:
    for picture_set in (*TRAINING_SETS, HELD_OUT):
        assert re.search(row_of(picture_set), CARD), picture_set.name
    assert HELD_OUT.package not in {one.package for one in TRAINING_SETS}
    assert not any("twemoji" in one.package or "twitter" in one.package for one in TRAINING_SETS)


def test_ranks_count_the_images_that_are_at_least_as_similar() -> None:
    gallery = np.eye(3, dtype=np.float32)
    queries = np.array([[1, 0, 0], [1, 0.5, 0], [1, 1, 1]], np.float32)
    assert ranks(queries, gallery).tolist() == [0, 1, 2]


def coloured_pictures() -> Pictures:
    """Return squares in one colour each, by two artists, instead of emoji."""
    emoji = [Emoji(str(n), f"colour {n}", (f"tint {n}",), ("square", "plain")) for n in range(8)]
    rng = np.random.default_rng(0)
    drawn: list[tuple[str, dict[str, NDArray[np.uint8]]]] = []
    for hand in ("one", "other"):
        colours = rng.integers(0, 256, (8, 1, 1, 4), np.uint8)
        drawn.append((hand, {one.id: np.tile(colours[n], (SIZE, SIZE, 1)) for n, one in enumerate(emoji)}))
    return Pictures(emoji, drawn)


def train(out: Path, until: int) -> dict[str, torch.Tensor]:
    """Start or resume a training, run it up to a step, and return the weights."""
    out.mkdir(exist_ok=True)
    training = Training(RECIPE, MODELS / "emoji-clip.json", coloured_pictures(), out)
    training.resume()
    training.run(until)
    training.save()
    return load_file(out / "model.safetensors")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that ran without interruption."""
    folder = tmp_path_factory.mktemp("finished")
    train(folder, RECIPE.steps)
    return folder


def test_an_interrupted_training_gives_the_same_weights(finished: Path, tmp_path: Path) -> None:
    whole = load_file(finished / "model.safetensors")
    half = train(tmp_path, 1)
    resumed = train(tmp_path, RECIPE.steps)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert any(not torch.equal(whole[name], half[name]) for name in whole)
    open_clip.create_model("emoji-clip", pretrained=str(tmp_path / "model.safetensors"))


def test_an_untrained_word_has_a_zero_embedding(finished: Path) -> None:
    weights = load_file(finished / "model.safetensors")
    tokens = open_clip.get_tokenizer("emoji-clip")(["colour", "locomotive"])
    colour, locomotive = weights["token_embedding.weight"][tokens[:, 1]]
    assert colour.any()
    assert not locomotive.any()


def test_a_training_is_not_resumed_with_another_recipe(finished: Path) -> None:
    other = Training(Recipe(steps=5), MODELS / "emoji-clip.json", coloured_pictures(), finished)
    with pytest.raises(SystemExit, match="'steps': 2"):
        other.resume()


def test_augmented_images_differ_and_are_reproducible_by_seed() -> None:
    pictures = coloured_pictures().pixels[:4]
    first, again, other = (augment(pictures, 64, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.shape == (4, 3, 64, 64)
    assert 0 <= first.min() < first.max() <= 1
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
