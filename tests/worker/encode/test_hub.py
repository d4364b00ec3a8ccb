"""The worker downloads weights from a model hub once, then works without the network, and never uses partial files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import huggingface_hub
import numpy as np
import open_clip
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from tests.support.commands import run
from tests.support.hub import HubServer
from tests.support.models import DEFAULT_MODEL, SMALL_CHECKPOINT
from worker.encode.hub import HubError, download, revision
from worker.encode.open_clip import EncoderConfig, OpenClipEncoder
from worker.encode.weights import load_model, model_id
from worker.errors import ModelUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REPOSITORY = "somebody/emoji-clip"
MODEL = f"hf-hub:{REPOSITORY}"
FILES = [("open_clip_config.json",), ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    """A hub with one repository: the small model."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model_cfg": open_clip.get_model_config("emoji-clip"), "preprocess_cfg": {}}))
    files = {"open_clip_config.json": config, "open_clip_model.safetensors": SMALL_CHECKPOINT}
    with HubServer({REPOSITORY: files}) as server:
        yield server


@pytest.fixture
def cache(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache. In this process, huggingface_hub uses it and the test's hub."""
    cache = tmp_path / "home" / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "home" / "token"))
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    huggingface_hub.close_session()  # its HTTP client reads the proxy variables only once
    yield cache
    huggingface_hub.close_session()


def files_in(cache: Path) -> list[str]:
    """Return the names of the complete files in the cache."""
    return sorted(path.name for path in cache.glob("models--*/snapshots/*/*"))


def reason(model: str, pretrained: str = "") -> str:
    """Return why a model cannot be loaded."""
    with pytest.raises(ModelUnavailable) as caught:
        load_model(model, pretrained)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_first_start_downloads_the_model_and_later_starts_need_no_hub(hub: HubServer, cache: Path) -> None:
    bundled = OpenClipEncoder(EncoderConfig("emoji-clip", "bundled", "cpu", "fp32"))
    shape = (2, bundled.spec.height, bundled.spec.width, 3)
    pixels = np.random.default_rng(1).integers(0, 255, shape, dtype=np.uint8)
    for _ in ("with the hub", "without it"):
        encoder = OpenClipEncoder(EncoderConfig(MODEL, "", "cpu", "fp32"))
        assert encoder.model_id == f"{MODEL}@111111111111"
        assert (encoder.encode(pixels) * bundled.encode(pixels)).sum(axis=1).min() > 0.9999
        assert files_in(cache) == ["open_clip_config.json", "open_clip_model.safetensors"]
        hub.close()


def test_the_pull_command_reads_the_hub_variables(hub: HubServer, tmp_path: Path) -> None:
    home = tmp_path / "home"
    folders = {"HF_HOME": str(home), "HF_HUB_CACHE": str(home / "hub"), "HF_TOKEN_PATH": str(home / "token")}
    env = {**folders, "HF_ENDPOINT": hub.url, "HF_TOKEN": "", "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
    done = run("model", "pull", "--model", MODEL, **env)
    assert (
        done.stdout
        == f"{MODEL}@111111111111: 5,740,625 parameters, downloaded; a worker on this machine can load it offline\n"
    ), done.stderr
    assert files_in(home / "hub") == ["open_clip_config.json", "open_clip_model.safetensors"]


def test_a_broken_download_stops_the_start_and_can_be_repeated(hub: HubServer, cache: Path) -> None:
    hub.cut_at = 5_000_000
    assert "The download of open_clip_model.safetensors broke off: try again" in reason(MODEL)
    assert files_in(cache) == ["open_clip_config.json"]
    hub.cut_at = None
    assert sum(parameter.numel() for parameter in load_model(MODEL, "").parameters()) == 5_740_625


def test_a_broken_download_of_a_newer_version_keeps_the_older_one(hub: HubServer, cache: Path, tmp_path: Path) -> None:
    download(REPOSITORY, FILES)
    assert revision(REPOSITORY) == hub.commit
    newer = tmp_path / "newer.safetensors"
    newer.write_bytes(b"newer" * 2_000_000)
    hub.files[REPOSITORY]["open_clip_model.safetensors"] = newer
    hub.commit, hub.cut_at = "2" * 40, 5_000_000
    with pytest.raises(HubError):
        download(REPOSITORY, FILES)
    hub.close()
    download(REPOSITORY, FILES)
    assert revision(REPOSITORY) == "1" * 40


def test_a_wrong_token_is_refused_with_the_variable_to_set(
    hub: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "hf_right"
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    refused = reason(MODEL)
    assert "401" in refused
    assert "requires an access token for it: set HF_TOKEN" in refused
    assert "hf_wrong" not in refused
    assert files_in(cache) == []
    monkeypatch.setenv("HF_TOKEN", hub.token)
    download(REPOSITORY, FILES)


@pytest.mark.parametrize("is_offline", [False, True])
def test_a_hub_that_is_unreachable_stops_the_start(
    is_offline: bool, hub: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", is_offline)
    if not is_offline:
        hub.close()
    assert f"check that this machine reaches the model hub at {hub.url}" in reason(MODEL)
    assert files_in(cache) == []


def test_weights_in_the_older_format_are_found_offline_too(
    hub: HubServer, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = hub.files[REPOSITORY]
    path = tmp_path / "weights.bin"
    torch.save(load_file(files.pop("open_clip_model.safetensors")), path)
    files["open_clip_pytorch_model.bin"] = path
    download(REPOSITORY, FILES)
    hub.close()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    load_model(MODEL, "")
    assert model_id(MODEL, "") == f"{MODEL}@111111111111"


def test_a_repository_without_weights_stops_the_start(hub: HubServer, cache: Path) -> None:
    """open_clip alone would use random weights."""
    del hub.files[REPOSITORY]["open_clip_model.safetensors"]
    assert "no file open_clip_model.safetensors or open_clip_pytorch_model.bin" in reason(MODEL)


def test_a_damaged_file_stops_the_start(hub: HubServer, cache: Path, tmp_path: Path) -> None:
    """The hub itself may hold a truncated file."""
    half = tmp_path / "half.safetensors"
    half.write_bytes(SMALL_CHECKPOINT.read_bytes()[:6_000_000])
    hub.files[REPOSITORY]["open_clip_model.safetensors"] = half
    assert f"If the downloaded files are damaged, delete {cache}/models--somebody--" in reason(MODEL)


def test_the_default_model_comes_from_its_repository(hub: HubServer, cache: Path, tmp_path: Path) -> None:
    """CLIP_PRETRAINED=openai loads the file that the hub serves; here every weight in it is 0.5."""
    with torch.device("meta"):
        shapes = open_clip.create_model(DEFAULT_MODEL, device="meta").state_dict()
    path = tmp_path / "default.safetensors"
    save_file({name: torch.full(value.shape, 0.5, dtype=torch.float16) for name, value in shapes.items()}, path)
    hub.files["timm/vit_base_patch32_clip_224.openai"] = {"open_clip_model.safetensors": path}
    parameters = list(load_model(DEFAULT_MODEL, "openai").parameters())
    path.unlink()
    assert sum(parameter.numel() for parameter in parameters) == 151_277_313
    assert all((parameter == 0.5).all() for parameter in parameters)
    assert model_id(DEFAULT_MODEL, "openai") == f"{DEFAULT_MODEL}/openai"
