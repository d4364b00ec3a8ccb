"""Where a model comes from: a pretrained tag, a hub, a file or folder here, or what ships with the project."""

from __future__ import annotations

import hashlib
import logging
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import open_clip
import torch
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError

from worker.errors import ModelUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger(__name__)

UNTRAINED = "untrained"
BUNDLED = "bundled"

_MODELS = Path(__file__).parent / "models"
_CHUNK = 1 << 20

# The names that open_clip gives the files of a hub repository, the preferred one first.
_CONFIG = "open_clip_config.json"
_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_UNAUTHORIZED = (401, 403)

# What open_clip and torch raise for a model that is not there or not readable.
_LOAD_ERRORS = (
    OSError,
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    AssertionError,
    pickle.UnpicklingError,
    SafetensorError,
)

# From here on open_clip knows the bundled model by its name, as it knows its own.
open_clip.add_model_config(_MODELS)


def load_model(name: str, pretrained: str) -> Any:
    """Load an open_clip model in fp32 on the CPU, in evaluation mode. Downloads the weights if need be.

    Raises:
        ModelUnavailable: There is no such model, or its weights cannot be had. Random weights are never used
            in their stead; only `untrained` asks for them.
    """
    try:
        if pretrained == UNTRAINED and not _has_schema(name):
            logger.warning("CLIP_PRETRAINED=untrained: the vectors come from random weights and mean nothing")
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                return open_clip.create_model(name, pretrained=None).eval()
        download(name, pretrained)
        # require_pretrained: open_clip goes on with random weights where a repository or a folder has none.
        return open_clip.create_model(name, pretrained=_resolve(name, pretrained), require_pretrained=True).eval()
    except _LOAD_ERRORS as exc:
        raise ModelUnavailable(_explain(name, pretrained, exc)) from exc


def download(name: str, pretrained: str) -> None:
    """Have the files of a hub's model in the hub's cache, where open_clip looks for them; else do nothing.

    open_clip would download them too, but tries several names in turn and shows what became of the last one only.

    Raises:
        ModelUnavailable: The hub is away, refuses, has no such files, or broke off. The cache is as it was, but
            for the part of a file that a later download goes on with.
    """
    for repository, alternatives in _hub_files(name, pretrained):
        for filename in alternatives:
            try:
                hf_hub_download(repository, filename)
                break
            except LocalEntryNotFoundError as exc:
                raise ModelUnavailable(_explain(name, pretrained, exc.__cause__ or exc)) from exc
            except EntryNotFoundError as exc:
                if filename == alternatives[-1]:
                    raise ModelUnavailable(_explain(name, pretrained, exc)) from exc
            except HfHubHTTPError as exc:
                raise ModelUnavailable(_explain(name, pretrained, exc)) from exc
            except Exception as exc:  # the hub's client passes on what its HTTP library raises, which changed twice
                raise ModelUnavailable(
                    _explain(name, pretrained, exc, f"the download of {filename} broke off and can be repeated: ")
                ) from exc


def model_id(name: str, pretrained: str) -> str:
    """Return the name under which vectors are stored: `CLIP_MODEL/CLIP_PRETRAINED`.

    Files are named by file name and content, so that two of them never share a name:
    `ViT-B-32/tuned.pt@0123456789ab`, and `local-dir:tuned@0123456789ab` for a folder.
    """
    if name.startswith("local-dir:"):
        folder = Path(name.removeprefix("local-dir:")).resolve()
        return f"local-dir:{folder.name}@{_digest(sorted(path for path in folder.iterdir() if path.is_file()))}"
    if _has_schema(name):
        return name
    path = Path(_resolve(name, pretrained))
    return f"{name}/{path.name}@{_digest([path])}" if path.is_file() else f"{name}/{pretrained}"


def _has_schema(name: str) -> bool:
    return name.startswith(("hf-hub:", "local-dir:"))


def _resolve(name: str, pretrained: str) -> str:
    """Return what open_clip calls `pretrained`: for the bundled weights, their path."""
    path = _MODELS / f"{name}.safetensors"
    return str(path) if pretrained == BUNDLED and path.is_file() else pretrained


def _hub_files(name: str, pretrained: str) -> Iterable[tuple[str, tuple[str, ...]]]:
    """Yield the repositories of a model, each with the names that one file of it may have."""
    if name.startswith("hf-hub:"):
        repository = name.removeprefix("hf-hub:")
        yield repository, (_CONFIG,)
        yield repository, _WEIGHTS
    elif not _has_schema(name):
        place = (open_clip.get_pretrained_cfg(name, pretrained) or {}).get("hf_hub", "")
        repository, _, filename = place.rpartition("/")
        if repository:
            yield repository, (filename,) if filename else _WEIGHTS


def _digest(paths: Iterable[Path]) -> str:
    content = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            content.update(hashlib.file_digest(file, "sha256").digest())
    return content.hexdigest()[:12]


def _explain(name: str, pretrained: str, exc: BaseException, what: str = "") -> str:
    reason = " ".join(str(exc).split()).rstrip(".")
    return (
        f"The model CLIP_MODEL={name} CLIP_PRETRAINED={pretrained} cannot be loaded, so this worker does not start: "
        f"{what}{type(exc).__name__}: {reason}. {_advise(name, pretrained, exc)} Random weights are never used by "
        "themselves; for a trial without weights set CLIP_PRETRAINED=untrained."
    )


def _advise(name: str, pretrained: str, exc: BaseException) -> str:
    response = getattr(exc, "response", None)
    if isinstance(exc, GatedRepoError) or getattr(response, "status_code", None) in _UNAUTHORIZED:
        return f"The model hub at {constants.ENDPOINT} wants a token that may read this model: set HF_TOKEN."
    tags = [] if _has_schema(name) else open_clip.list_pretrained_tags_by_model(name)
    if (_MODELS / f"{name}.safetensors").is_file():
        tags.append(BUNDLED)
    if not _has_schema(name) and tags and pretrained not in tags and not Path(pretrained).exists():
        return f"Set CLIP_PRETRAINED to one of {', '.join(tags)}, or to the path of a checkpoint."
    return (
        f"If the weights are to be downloaded, check that this machine reaches the model hub at {constants.ENDPOINT} "
        "(HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE are honoured), or download them where it is reached with "
        "`clipqueue model pull`. Else set CLIP_PRETRAINED to the path of a checkpoint, or to a tag that open_clip has "
        "for this model."
    )
