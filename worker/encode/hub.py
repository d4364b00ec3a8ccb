"""Downloads a model repository's files into the Hugging Face cache, where open_clip finds them.

open_clip can download them too, but its error names only the last file name that it tried.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import constants, file_download, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_REFUSED = (401, 403)


class HubError(Exception):
    """A file cannot be downloaded. `advice` is a sentence that says what to do."""

    def __init__(self, reason: BaseException, advice: str) -> None:
        super().__init__(describe(reason))
        self.advice = advice


def download(repository: str, files: Sequence[tuple[str, ...]]) -> None:
    """Ensure that the cache holds every file. If the hub is unreachable, the cached files are used as they are.

    After a failed download, the cache still points to the previous revision.

    Args:
        repository: `organisation/repository`.
        files: For each file the names that it may have, the preferred one first.

    Raises:
        HubError: The hub is unreachable, denies access or has no such file, or the download was interrupted.
    """
    try:
        with _restore_revision_on_failure(repository):
            for names in files:
                _download_first(repository, names)
    except HFValidationError as exc:
        raise HubError(exc, "Set CLIP_MODEL to hf-hub:organisation/repository.") from exc


def revision(repository: str) -> str:
    """Return the commit hash of a repository's cached revision."""
    return _revision_file(repository).read_text().strip()


def cache_folder(repository: str) -> Path:
    """Return the folder where the cache keeps a repository."""
    return Path(constants.HF_HUB_CACHE) / file_download.repo_folder_name(repo_id=repository, repo_type="model")


def describe(exc: BaseException) -> str:
    """Return an error's type and text in one line."""
    return f"{type(exc).__name__}: {' '.join(str(exc).split())}".rstrip(".: ")


def _download_first(repository: str, names: Sequence[str]) -> None:
    """Download the first of these names that the repository has."""
    for name in names:
        try:
            hf_hub_download(repository, name)
        except EntryNotFoundError as exc:
            missing = exc
        # huggingface_hub lets the exceptions of its HTTP library through, and has switched that library twice.
        except Exception as exc:
            raise HubError(exc, _advise(exc, name)) from exc
        else:
            return
    if isinstance(
        missing, LocalEntryNotFoundError
    ):  # the hub is unreachable or offline mode is set, and nothing cached
        advice = (
            f"To download it, {_reach()}, or run `clipqueue model pull` on a machine that can reach the hub, with "
            "HF_HOME set to the same folder."
        )
        raise HubError(missing.__cause__ or missing, advice)
    raise HubError(missing, f"The repository has no file {' or '.join(names)}; choose another.")


def _advise(exc: Exception, filename: str) -> str:
    if isinstance(exc, HfHubHTTPError) and exc.response.status_code in _REFUSED:
        return f"{constants.ENDPOINT} has no such model, or requires an access token for it: set HF_TOKEN."
    if isinstance(exc, HfHubHTTPError):
        return f"To download it, {_reach()}."
    if isinstance(exc, OSError):
        return f"Check that {constants.HF_HUB_CACHE} is writable and has free space (HF_HOME sets it)."
    return f"The download of {filename} broke off: try again, or {_reach()}."


def _reach() -> str:
    return f"check that this machine reaches the model hub at {constants.ENDPOINT} (HF_ENDPOINT, HF_HUB_OFFLINE)"


@contextmanager
def _restore_revision_on_failure(repository: str) -> Iterator[None]:
    """If the block fails, restore `refs/main` to the previous commit, whose files are complete."""
    pointer = _revision_file(repository)
    before = pointer.read_text() if pointer.is_file() else None
    try:
        yield
    except BaseException:
        if before is not None:
            pointer.write_text(before)
        raise


def _revision_file(repository: str) -> Path:
    return cache_folder(repository) / "refs" / "main"
