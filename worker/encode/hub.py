"""Has the files of a model repository in the model hub's cache, where open_clip looks for them, or says why not.

open_clip would download them too, but tries several names in turn and shows what became of the last one only.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from huggingface_hub.file_download import repo_folder_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_REFUSED = (401, 403)


class HubError(Exception):
    """A file cannot be had. `advice` is a sentence that says what to do."""

    def __init__(self, reason: BaseException, advice: str) -> None:
        super().__init__(describe(reason))
        self.advice = advice


def download(repository: str, files: Sequence[tuple[str, ...]]) -> None:
    """Have every one of `files` in the cache; each is a tuple of the names that it may have, the preferred one first.

    What the cache has is asked for anew, and used as it is if the hub is away. A download that fails leaves the
    cache as it was.

    Raises:
        HubError: The hub is away, refuses, has no such files, or broke off.
    """
    try:
        cache_folder(repository)
    except HFValidationError as exc:
        raise HubError(exc, "Set CLIP_MODEL to hf-hub:organisation/repository.") from exc
    with _keeping_revision(repository):
        for alternatives in files:
            _download_one(repository, alternatives)


def revision(repository: str) -> str:
    """Return the commit of what the cache has of a repository."""
    return _revision_file(repository).read_text().strip()


def cache_folder(repository: str) -> Path:
    """Return where the cache keeps a repository; raises HFValidationError for what cannot be the name of one."""
    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model")


def describe(exc: BaseException) -> str:
    """Return an error's type and text in one line."""
    return f"{type(exc).__name__}: {' '.join(str(exc).split())}".rstrip(".: ")


def _download_one(repository: str, alternatives: tuple[str, ...]) -> None:
    missing: EntryNotFoundError | None = None
    for filename in alternatives:
        try:
            hf_hub_download(repository, filename)
        except EntryNotFoundError as exc:
            missing = exc
        except Exception as exc:  # what the hub's client lets through of its HTTP library, which it has changed twice
            raise HubError(exc, _advise(exc, filename)) from exc
        else:
            return
    if not isinstance(missing, LocalEntryNotFoundError):
        raise HubError(
            missing or ValueError("no name"), f"The repository has no file {' or '.join(alternatives)}; choose another."
        )
    # The hub is away, or not to be asked.
    if not any(isinstance(try_to_load_from_cache(repository, name), str) for name in alternatives):
        raise HubError(
            missing.__cause__ or missing,
            f"To download it, {_reach()}, or run `clipqueue model pull` where it is reached, with the same HF_HOME.",
        )


def _advise(exc: Exception, filename: str) -> str:
    if isinstance(exc, HfHubHTTPError) and exc.response.status_code in _REFUSED:
        return f"{constants.ENDPOINT} has no such model, or wants a token that may read it: set HF_TOKEN."
    if isinstance(exc, HfHubHTTPError):
        return f"To download it, {_reach()}."
    if isinstance(exc, OSError):
        return f"Check that {constants.HF_HUB_CACHE} can be written and has room (HF_HOME sets it)."
    return f"The download of {filename} broke off: try again, or {_reach()}."


def _reach() -> str:
    return f"check that this machine reaches the model hub at {constants.ENDPOINT} (HF_ENDPOINT, HF_HUB_OFFLINE)"


@contextmanager
def _keeping_revision(repository: str) -> Iterator[None]:
    """Put the cache's note of the newest commit back if the block fails: what it had before is still whole."""
    note = _revision_file(repository)
    before = note.read_text() if note.is_file() else None
    try:
        yield
    except BaseException:
        if before is not None:
            note.write_text(before)
        raise


def _revision_file(repository: str) -> Path:
    return cache_folder(repository) / "refs" / "main"
