"""Models load from the source in the settings, or not at all. A model id identifies the weights of a vector."""

from __future__ import annotations

import json
import re
from io import BytesIO
from typing import TYPE_CHECKING

import open_clip
import pytest
import torch
from safetensors.torch import load_file

from tests.support.models import DEFAULT_MODEL, SMALL_CHECKPOINT
from worker.encode.open_clip import EncoderConfig, OpenClipEncoder
from worker.encode.weights import BUNDLED, load_model, model_id
from worker.errors import ModelUnavailable

if TYPE_CHECKING:
    from pathlib import Path


def test_model_ids_identify_the_weights(tmp_path: Path) -> None:
    """Two files with the same name and different content have different ids, and so do two folders."""
    assert model_id(DEFAULT_MODEL, "openai") == "ViT-B-32-quickgelu/openai"
    assert model_id(DEFAULT_MODEL, "no-such-file") == "ViT-B-32-quickgelu/no-such-file"
    ids = set()
    for parent in ("a", "b"):
        folder = tmp_path / parent / "tuned"
        folder.mkdir(parents=True)
        (folder / "w.safetensors").write_text(parent)
        of_file, of_folder = model_id(DEFAULT_MODEL, str(folder / "w.safetensors")), model_id(f"local-dir:{folder}", "")
        (folder / "README.md").write_text("not part of the weights")
        assert model_id(f"local-dir:{folder}", "") == of_folder
        assert re.fullmatch(r"ViT-B-32-quickgelu/w\.safetensors@[0-9a-f]{12}", of_file)
        assert re.fullmatch(r"local-dir:tuned@[0-9a-f]{12}", of_folder)
        ids |= {of_file, of_folder}
    assert len(ids) == 4


def test_the_bundled_models_id_depends_on_its_content() -> None:
    assert model_id("emoji-clip", BUNDLED) == model_id("emoji-clip", str(SMALL_CHECKPOINT))
    assert "@" in model_id("emoji-clip", BUNDLED)


@pytest.mark.parametrize(
    ("model", "pretrained"),
    [
        ("ViT-B-32-quickgelu", "/no/such/file.pt"),
        ("ViT-B-32-quickgelu", "no-such-tag"),
        ("no-such-model", "openai"),
        ("ViT-B-32-quickgelu", ""),
        ("local-dir:/no/such/folder", "openai"),
        ("ViT-B-32-quickgelu", "bundled"),
    ],
)
def test_a_model_that_cannot_be_loaded_says_what_to_set(model: str, pretrained: str) -> None:
    with pytest.raises(ModelUnavailable, match="CLIP_PRETRAINED=untrained") as caught:
        OpenClipEncoder(EncoderConfig(model, pretrained, "cpu", "fp32"))
    assert f"CLIP_MODEL={model}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_with_a_configuration_and_no_weights_stops_the_start(tmp_path: Path) -> None:
    """open_clip alone would use random weights."""
    config = {"model_cfg": open_clip.get_model_config("ViT-S-32-alt"), "preprocess_cfg": {}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailable, match="local-dir:"):
        OpenClipEncoder(EncoderConfig(f"local-dir:{tmp_path}", "", "cpu", "fp32"))


def saved(value: object) -> bytes:
    buffer = BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"not a checkpoint", b"PK\x03\x04 cut short", saved({}), saved([1]), saved(torch.zeros(3)), saved({"a": 1})],
)
def test_a_checkpoint_that_cannot_be_read_stops_the_start(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.pt"
    path.write_bytes(content)
    with pytest.raises(ModelUnavailable, match=r"broken\.pt.* Set CLIP_PRETRAINED to a checkpoint of ViT-S-32-alt"):
        load_model("ViT-S-32-alt", str(path))


def test_a_checkpoint_of_another_model_stops_the_start() -> None:
    with pytest.raises(ModelUnavailable, match="ViT-S-32-alt"):
        load_model("ViT-S-32-alt", str(SMALL_CHECKPOINT))


def test_a_pytorch_checkpoint_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "small.pt"
    weights = load_file(SMALL_CHECKPOINT)
    torch.save(weights, path)
    loaded = load_model("emoji-clip", str(path)).state_dict()
    assert all(torch.equal(loaded[name], value.to(loaded[name].dtype)) for name, value in weights.items())


def test_a_tag_takes_precedence_over_a_file_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """open_clip does the same."""
    (tmp_path / "openai").write_bytes(b"a file")
    monkeypatch.chdir(tmp_path)
    assert model_id(DEFAULT_MODEL, "openai") == "ViT-B-32-quickgelu/openai"


@pytest.mark.parametrize(
    ("name", "pretrained", "advice"),
    [
        ("emoji-clip", "openai", "Set CLIP_PRETRAINED to bundled or the path of a checkpoint."),
        (DEFAULT_MODEL, "no-such-tag", "Set CLIP_PRETRAINED to openai, "),
        ("ViT-B32", "openai", "Set CLIP_MODEL to ViT-B-32"),
        ("zzz", "untrained", "Set CLIP_MODEL to a name from `open_clip.list_models()`."),
        ("hf-hub:", "", "Set CLIP_MODEL to hf-hub:organisation/repository."),
        ("hf-hub:no repository", "", "Set CLIP_MODEL to hf-hub:organisation/repository."),
        (
            "local-dir:/no/such/folder",
            "",
            "Set CLIP_MODEL to local-dir:PATH, where PATH is a folder that holds open_clip_config.json",
        ),
    ],
)
def test_the_advice_fits_the_problem(name: str, pretrained: str, advice: str) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        load_model(name, pretrained)
    assert advice in str(caught.value)
    assert len(str(caught.value)) < 800, "no list of all models"
