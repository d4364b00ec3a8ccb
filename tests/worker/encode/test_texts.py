"""Texts cut at their end have the vectors of the full forward pass, and towers that cannot be cut are not."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import open_clip
import pytest
import torch

from worker.encode.device import CpuShares
from worker.encode.open_clip import EncoderConfig, OpenClipEncoder
from worker.encode.texts import TextTower
from worker.encode.weights import BUNDLED

TEXTS = ["a red bicycle", "!", "\x00 \N{BICYCLE} \u4e2d\u6587", "one two three " * 30, "x" * 8192, "a 'quoted' word."]


@pytest.fixture(scope="module")
def encoder() -> OpenClipEncoder:
    return OpenClipEncoder(EncoderConfig("emoji-clip", BUNDLED, "cpu", "fp32"))


def tower_of(model: Any) -> TextTower:
    return TextTower(model, open_clip.get_tokenizer("ViT-B-32"), "cpu", CpuShares("cpu", None))


@pytest.fixture(scope="module")
def custom() -> Any:
    """A model whose text tower is a module of its own, as most newer models have it."""
    torch.manual_seed(1)
    vision = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16, "head_width": 32}
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
    return open_clip.CustomTextCLIP(16, vision, text).eval()


def test_the_cut_vectors_are_those_of_the_full_forward_pass(encoder: OpenClipEncoder) -> None:
    tower = encoder.texts
    assert tower.cuts
    full = encoder.encode_texts(TEXTS)
    tokens = [tower.tokenize(text) for text in TEXTS]
    assert np.allclose(tower.encode(tokens), full, atol=1e-5)
    assert np.allclose([tower.encode([text])[0] for text in tokens], full, atol=1e-5)


def test_a_text_tower_of_its_own_is_cut_too(custom: Any) -> None:
    tower = tower_of(custom)
    assert tower.cuts
    ids = open_clip.get_tokenizer("ViT-B-32")(TEXTS)
    with torch.inference_mode():
        full = torch.nn.functional.normalize(custom.encode_text(ids), dim=-1).numpy()
    assert np.allclose(tower.encode([tower.tokenize(text) for text in TEXTS]), full, atol=1e-5)


def test_a_tower_that_sees_the_padding_is_not_cut(custom: Any) -> None:
    """SigLIP's towers are of this kind: a cut text would have another vector."""
    model = copy.deepcopy(custom)
    model.text.attn_mask.zero_()
    tower = tower_of(model)
    assert not tower.cuts
    assert tower.encode([tower.tokenize("a")]).shape == (1, 16)


@pytest.mark.parametrize("part", ["positional_embedding", "attn_mask", "ln_final"])
def test_a_tower_of_another_build_is_not_cut(custom: Any, part: str) -> None:
    class Other(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.whole = custom.text

        def forward(self, ids: Any) -> Any:
            return self.whole(ids)

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.text = Other()
            for name in {"positional_embedding", "attn_mask", "ln_final"} - {part}:
                setattr(self.text, name, getattr(custom.text, name))

        def encode_text(self, ids: Any) -> Any:
            return self.text(ids)

    tower = tower_of(Model())
    assert not tower.cuts
    assert tower.encode([tower.tokenize("a")]).shape == (1, 16)


@pytest.mark.parametrize(
    ("words", "count", "truncated"), [(1, 3, False), (29, 31, False), (30, 32, False), (31, 32, True), (500, 32, True)]
)
def test_tokens_are_counted_with_both_ends(encoder: OpenClipEncoder, words: int, count: int, truncated: bool) -> None:
    """The context of the small model has 32 tokens."""
    tokens = encoder.texts.tokenize("dog " * words)
    assert (encoder.texts.context_length, tokens.count, tokens.truncated) == (32, count, truncated)


@pytest.mark.parametrize("tower", ["text", "image"])
def test_one_tower_alone_gives_the_same_vectors_and_holds_no_other(encoder: OpenClipEncoder, tower: Any) -> None:
    alone = OpenClipEncoder(EncoderConfig("emoji-clip", BUNDLED, "cpu", "fp32", tower=tower))
    assert (alone.dim, alone.model_id, alone.spec) == (encoder.dim, encoder.model_id, encoder.spec)
    kept = sum(parameter.numel() for parameter in alone._model.parameters())
    assert kept < encoder.parameters
    if tower == "text":
        tokens = [alone.texts.tokenize("a red bicycle")]
        assert np.allclose(alone.texts.encode(tokens), encoder.texts.encode(tokens), atol=1e-6)
    else:
        pixels = np.full((1, alone.spec.height, alone.spec.width, 3), 100, np.uint8)
        assert np.allclose(alone.encode(pixels), encoder.encode(pixels), atol=1e-6)


@pytest.mark.parametrize(("one_s", "all_s", "chosen"), [(0.1, 0.04, 4), (0.1, 0.06, 1), (0.1, 0.4, 1)])
def test_a_text_runs_on_all_cores_only_where_that_is_clearly_faster(
    one_s: float, all_s: float, chosen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine, several threads take several times as long as one."""
    used: list[int] = []
    monkeypatch.setattr("worker.encode.device.usable_cpus", lambda: 4)
    monkeypatch.setattr("worker.encode.device.torch.set_num_threads", used.append)
    monkeypatch.setattr("worker.encode.device._fastest_s", lambda _: one_s if used[-1] == 1 else all_s)
    shares = CpuShares("cpu", 2)
    shares.choose_rest(lambda: None)
    with shares.take_rest():
        assert used[-1] == chosen
    with shares.take(), shares.take_rest():
        assert used[-1] == 1, "while images are encoded"
