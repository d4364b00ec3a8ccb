"""Loads a model from a pretrained tag, a hub, a local file or folder, or the weights that ship with the project."""

from __future__ import annotations

import difflib
import hashlib
import logging
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import open_clip
import torch
from safetensors import SafetensorError

from worker.encode import hub
from worker.errors import ModelUnavailable
from worker.selftest.libraries import check_libraries

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger(__name__)

UNTRAINED = "untrained"
BUNDLED = "bundled"

_MODELS = Path(__file__).parent / "models"
_HUB, _FOLDER = "hf-hub:", "local-dir:"

# The file names that open_clip uses in a repository, and the suffixes of the weights that it finds in a folder.
_CONFIG = "open_clip_config.json"
_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_SUFFIXES = (".safetensors", ".bin", ".pth")

# open_clip and torch raise these for a model that is missing or unreadable.
_LOAD_ERRORS = (
    OSError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    StopIteration,
    EOFError,
    AssertionError,
    pickle.UnpicklingError,
    SafetensorError,
)

# Registers the bundled model under its name with open_clip.
open_clip.add_model_config(_MODELS)


def load_model(name: str, pretrained: str) -> Any:
    """Load an open_clip model in fp32 on the CPU, in evaluation mode. Downloads the weights if necessary.

    Only the value `untrained` for `pretrained` gives random weights. A failure never does.

    Raises:
        ModelUnavailable: There is no such model, or its weights cannot be loaded.
        UnusableLibrary: The installed open_clip or huggingface_hub does not work as this module needs.
    """
    check_libraries("open_clip_torch", "huggingface_hub")
    try:
        if pretrained == UNTRAINED and not _has_scheme(name):
            logger.warning("CLIP_PRETRAINED=untrained: the weights are random, so the vectors have no meaning")
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                return open_clip.create_model(name, pretrained=None).eval()
        if (repository := _repository(name, pretrained)) is not None:
            hub.download(repository, _files(name, pretrained))
        # Without require_pretrained, open_clip uses random weights if a repository or folder has no weights file.
        return open_clip.create_model(name, pretrained=_resolve(name, pretrained), require_pretrained=True).eval()
    except hub.HubError as exc:
        raise ModelUnavailable(_explain(name, pretrained, str(exc), exc.advice)) from exc
    except _LOAD_ERRORS as exc:
        reason = hub.describe(exc) if _is_known(name) else "open_clip has no model of this name"
        raise ModelUnavailable(_explain(name, pretrained, reason, _advise(name, pretrained))) from exc


def load_tokenizer(name: str) -> Any:
    """Return the tokenizer of a model: a function from a list of texts to token ids.

    Raises:
        ModelUnavailable: It cannot be loaded. Some come from a hub, or need a package that clipqueue does not install.
    """
    try:
        return open_clip.get_tokenizer(name)
    except (*_LOAD_ERRORS, ImportError) as exc:
        message = f"The tokenizer of CLIP_MODEL={name} cannot be loaded, so no text can be embedded with it"
        raise ModelUnavailable(f"{message}: {hub.describe(exc)}") from exc


def model_id(name: str, pretrained: str) -> str:
    """Return the model's name in documents: `CLIP_MODEL/CLIP_PRETRAINED`. The model must have been loaded before.

    The name of a local file or folder ends with a digest of its content, so that different weights never share a name:
    `ViT-B-32/tuned.pt@0123456789ab`, `local-dir:tuned@0123456789ab`. A hub's repository is named with its commit.
    """
    if name.startswith(_FOLDER):
        folder = Path(name.removeprefix(_FOLDER)).resolve()
        files = [path for path in folder.iterdir() if path.name == _CONFIG or path.suffix in _SUFFIXES]
        return f"{_FOLDER}{folder.name}@{_digest(sorted(files))}"
    if name.startswith(_HUB):
        return f"{name}@{hub.revision(name.removeprefix(_HUB))[:12]}"
    path = Path(_resolve(name, pretrained))
    if open_clip.get_pretrained_cfg(name, pretrained) or not path.is_file():
        return f"{name}/{pretrained}"
    return f"{name}/{path.name}@{_digest([path])}"


def _has_scheme(name: str) -> bool:
    return name.startswith((_HUB, _FOLDER))


def _is_known(name: str) -> bool:
    return _has_scheme(name) or name.replace("/", "-") in open_clip.list_models()


def _resolve(name: str, pretrained: str) -> str:
    """Return open_clip's argument `pretrained`: a path for the bundled weights, empty for a hub or a folder."""
    if _has_scheme(name):
        return ""
    path = _MODELS / f"{name}.safetensors"
    return str(path) if pretrained == BUNDLED and path.is_file() else pretrained


def _repository(name: str, pretrained: str) -> str | None:
    """Return the hub's repository that a model is downloaded from, or None for all other sources."""
    if name.startswith(_HUB):
        return name.removeprefix(_HUB)
    return _hub_path(name, pretrained).rpartition("/")[0] or None


def _files(name: str, pretrained: str) -> list[tuple[str, ...]]:
    """Return the files to download from the model's repository; for each, its possible names."""
    if name.startswith(_HUB):
        return [(_CONFIG,), _WEIGHTS]
    filename = _hub_path(name, pretrained).rpartition("/")[2]
    return [(filename,) if filename else _WEIGHTS]


def _hub_path(name: str, pretrained: str) -> str:
    """Return open_clip's `organisation/repository/file` for a tag.

    The file part is empty if the file has open_clip's default name.
    """
    path: str = (open_clip.get_pretrained_cfg(name, pretrained) or {}).get("hf_hub", "")
    return path


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def _advise(name: str, pretrained: str) -> str:
    """Return a sentence that says what to set, for a model that is missing or unreadable."""
    if not _is_known(name):
        similar = difflib.get_close_matches(name, open_clip.list_models())
        return f"Set CLIP_MODEL to {' or '.join(similar) or 'a name from `open_clip.list_models()`'}."
    if name.startswith(_FOLDER):
        return f"Set CLIP_MODEL to {_FOLDER}PATH, where PATH is a folder that holds {_CONFIG} and the model's weights."
    if (repository := _repository(name, pretrained)) is not None:
        return f"If the downloaded files are damaged, delete {hub.cache_folder(repository)} and start again."
    if Path(pretrained).exists():
        return f"Set CLIP_PRETRAINED to a checkpoint of {name} that open_clip can read."
    tags = open_clip.list_pretrained_tags_by_model(name)
    if (_MODELS / f"{name}.safetensors").is_file():
        tags = [BUNDLED, *tags]
    return f"Set CLIP_PRETRAINED to {', '.join(tags) or 'untrained'} or the path of a checkpoint."


def _explain(name: str, pretrained: str, reason: str, advice: str) -> str:
    return (
        f"The model CLIP_MODEL={name} CLIP_PRETRAINED={pretrained} cannot be loaded, so this worker does not start: "
        f"{reason}. {advice} The worker never falls back to random weights; for a trial without trained weights, set "
        "CLIP_PRETRAINED=untrained."
    )
