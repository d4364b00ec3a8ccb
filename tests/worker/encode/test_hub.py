"""Weights from a model hub: downloaded once, used without a network afterwards, and never half."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import open_clip
import pymongo
import pytest
import torch
from safetensors.torch import load_file, save_file

from producer.client.client import EmbeddingClient
from producer.local.stack import Stack
from tests.conftest import WORKER_ENV
from tests.support.commands import run, run_worker
from tests.support.decoding import decoder_for
from tests.support.hub import HubServer
from tests.support.models import DEFAULT_MODEL, SMALL_CHECKPOINT
from tests.support.pictures import EMOJI
from tests.support.waiting import wait_for
from worker.encode.open_clip import EncoderConfig, OpenClipEncoder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.servers import ImageServer

MODEL = "hf-hub:somebody/emoji-clip"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    """A hub with one repository: the small model."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model_cfg": open_clip.get_model_config("emoji-clip"), "preprocess_cfg": {}}))
    files = {"open_clip_config.json": config, "open_clip_model.safetensors": SMALL_CHECKPOINT}
    with HubServer({"somebody/emoji-clip": files}) as server:
        yield server


@pytest.fixture
def env(hub: HubServer, tmp_path: Path) -> dict[str, str]:
    """Settings for a process that uses that hub, with a cache of its own."""
    home = tmp_path / "home"
    cache = {"HF_HOME": str(home), "HF_HUB_CACHE": str(home / "hub"), "HF_TOKEN_PATH": str(home / "token")}
    return {**cache, "HF_ENDPOINT": hub.url, "HF_TOKEN": "", "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}


def pull(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return run("model", "pull", "--model", MODEL, **env)


DOWNLOAD = """
from worker.encode import hub
weights = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
hub.download("somebody/emoji-clip", [("open_clip_config.json",), weights])
print(hub.revision("somebody/emoji-clip"))
"""


def download(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Do what a pull does first, without torch, which takes its seconds to load; print the commit."""
    command = [sys.executable, "-c", DOWNLOAD]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=180)


def start(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a worker with this hub's model, which fails before it looks for Redis."""
    return run_worker(**{**WORKER_ENV, **env, "CLIP_MODEL": MODEL})


def cached(tmp_path: Path) -> list[str]:
    """The names of the whole files in the hub's cache."""
    return sorted(path.name for path in (tmp_path / "home").glob("hub/models--*/snapshots/*/*"))


def test_a_worker_downloads_its_model_and_starts_without_the_hub_the_next_time(
    hub: HubServer, env: dict[str, str], images: ImageServer, tmp_path: Path
) -> None:
    picture = EMOJI / "red-apple.png"
    url = images.add("/apple.png", picture.read_bytes())
    here = OpenClipEncoder(EncoderConfig("emoji-clip", "bundled", "cpu", "fp32"))
    pixels = decoder_for(here.spec).decode(picture.read_bytes()).pixels
    for start in ("first", "second"):
        folder = tmp_path / start
        folder.mkdir()
        with Stack(folder) as stack:
            stack.start_servers()
            stack.start_worker({**WORKER_ENV, **env, "CLIP_MODEL": MODEL})
            with EmbeddingClient(stack.redis_url) as client:
                client.enqueue("apple", url)
            with pymongo.MongoClient[dict[str, Any]](stack.mongodb_uri) as mongo:
                found = wait_for(lambda: mongo["clipqueue"]["images"].find_one({"_id": "apple"}), "the vector")
        assert found["embedding_job"]["model"] == f"{MODEL}@111111111111"
        assert float(np.array(found["embedding"]) @ here.encode(np.stack([pixels]))[0]) > 0.9999
        assert cached(tmp_path) == ["open_clip_config.json", "open_clip_model.safetensors"]
        hub.close()


def test_a_download_that_breaks_off_stops_the_start_and_can_be_repeated(
    hub: HubServer, env: dict[str, str], tmp_path: Path
) -> None:
    hub.cut_at = 5_000_000
    broken = start(env)
    assert broken.returncode == 1
    assert "The download of open_clip_model.safetensors broke off: try again" in broken.stderr
    assert "Traceback" not in broken.stderr
    assert cached(tmp_path) == ["open_clip_config.json"]
    hub.cut_at = None
    again = pull(env)
    assert again.stdout == f"{MODEL}@111111111111: 5,740,625 parameters, ready to load here\n", again.stderr


def test_a_newer_version_that_breaks_off_leaves_the_older_one_as_it_was(
    hub: HubServer, env: dict[str, str], tmp_path: Path
) -> None:
    assert download(env).stdout == hub.commit + "\n"
    newer = tmp_path / "newer.safetensors"
    newer.write_bytes(b"newer" * 2_000_000)
    hub.files["somebody/emoji-clip"]["open_clip_model.safetensors"] = newer
    hub.commit, hub.cut_at = "2" * 40, 5_000_000
    broken = download(env)
    assert "HubError" in broken.stderr
    hub.close()
    assert download(env).stdout == "1" * 40 + "\n"


def test_a_hub_that_wants_a_token_is_named_with_the_variable_to_set(
    hub: HubServer, env: dict[str, str], tmp_path: Path
) -> None:
    hub.token = "hf_right"
    refused = start({**env, "HF_TOKEN": "hf_wrong"})
    assert refused.returncode == 1
    assert "401" in refused.stderr
    assert "wants a token that may read it: set HF_TOKEN" in refused.stderr
    assert "hf_wrong" not in refused.stderr
    assert "Traceback" not in refused.stderr
    assert cached(tmp_path) == []
    assert download({**env, "HF_TOKEN": hub.token}).returncode == 0


def test_a_hub_that_is_away_stops_the_worker(hub: HubServer, env: dict[str, str], tmp_path: Path) -> None:
    hub.close()
    away = start(env)
    assert away.returncode == 1
    assert f"check that this machine reaches the model hub at {hub.url}" in away.stderr
    assert "Traceback" not in away.stderr
    assert cached(tmp_path) == []


def test_weights_of_the_older_format_are_found_without_the_hub_too(
    hub: HubServer, env: dict[str, str], tmp_path: Path
) -> None:
    files = hub.files["somebody/emoji-clip"]
    path = tmp_path / "weights.bin"
    torch.save(load_file(files.pop("open_clip_model.safetensors")), path)
    files["open_clip_pytorch_model.bin"] = path
    assert download(env).returncode == 0
    hub.close()
    again = pull({**env, "HF_HUB_OFFLINE": "1"})
    assert again.returncode == 0, again.stderr


def test_a_repository_without_weights_stops_the_start(hub: HubServer, env: dict[str, str]) -> None:
    """open_clip itself would go on with random weights."""
    del hub.files["somebody/emoji-clip"]["open_clip_model.safetensors"]
    refused = pull(env)
    assert refused.returncode == 1
    assert "no file open_clip_model.safetensors or open_clip_pytorch_model.bin" in refused.stderr


def test_a_file_that_is_damaged_stops_the_start(hub: HubServer, env: dict[str, str], tmp_path: Path) -> None:
    """Such as one that the hub itself holds only half of."""
    half = tmp_path / "half.safetensors"
    half.write_bytes(SMALL_CHECKPOINT.read_bytes()[:6_000_000])
    hub.files["somebody/emoji-clip"]["open_clip_model.safetensors"] = half
    refused = pull(env)
    assert refused.returncode == 1
    assert f"If the downloaded files are damaged, delete {env['HF_HUB_CACHE']}/models--somebody--" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_default_model_comes_from_its_repository(
    hub: HubServer, env: dict[str, str], default_checkpoint: Path, tmp_path: Path
) -> None:
    """The whole way of CLIP_PRETRAINED=openai, with seeded weights in the place of the published ones."""
    weights = {name: value.half().contiguous() for name, value in torch.load(default_checkpoint).items()}
    path = tmp_path / "default.safetensors"
    save_file(weights, path)
    hub.files["timm/vit_base_patch32_clip_224.openai"] = {"open_clip_model.safetensors": path}
    done = run("model", "pull", **{**env, "CLIP_MODEL": DEFAULT_MODEL, "CLIP_PRETRAINED": "openai"})
    assert done.stdout == f"{DEFAULT_MODEL}/openai: 151,277,313 parameters, ready to load here\n", done.stderr
    shutil.rmtree(tmp_path / "home")
