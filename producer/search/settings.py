"""The settings of a search, from the environment."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from producer.contract.errors import ConfigurationError

DEFAULT_INDEX = "clipqueue"
DEFAULT_SCAN_MAX = 200_000
_MAX_FIELDS = 32
# MongoDB's vector search has no index into an array (`tags.0`), and no field may read another part of the vector.
_FIELD = re.compile(r"(?!embedding(\.|$))[^$.,\s\x00\d][^$.,\s\x00]*(\.[^$.,\s\x00\d][^$.,\s\x00]*)*")


@dataclass(frozen=True)
class SearchSettings:
    """What a search may read, and how.

    Attributes:
        filter_fields: The declared fields: only these may be used in a filter or returned.
        index: The name of MongoDB's vector search index.
        scan_max: The maximum number of vectors to keep in memory.
    """

    filter_fields: tuple[str, ...] = ()
    index: str = DEFAULT_INDEX
    scan_max: int = DEFAULT_SCAN_MAX

    def __post_init__(self) -> None:
        if len(self.filter_fields) > _MAX_FIELDS:
            raise ConfigurationError(f"CLIPQUEUE_FILTER_FIELDS has more than {_MAX_FIELDS} fields")
        for field in self.filter_fields:
            if not _FIELD.fullmatch(field):
                raise ConfigurationError(
                    f"CLIPQUEUE_FILTER_FIELDS: {field!r} cannot be used; expected format: album,camera.model"
                )
        if self.scan_max < 1:
            raise ConfigurationError("CLIPQUEUE_SCAN_MAX must be at least 1")


def search_settings_from_env() -> SearchSettings:
    """Return the settings.

    Raises:
        ConfigurationError: A variable has an invalid value.
    """
    fields = os.environ.get("CLIPQUEUE_FILTER_FIELDS", "")
    scan_max = os.environ.get("CLIPQUEUE_SCAN_MAX") or str(DEFAULT_SCAN_MAX)
    if not scan_max.isascii() or not scan_max.isdigit():
        raise ConfigurationError(f"CLIPQUEUE_SCAN_MAX must be a whole number, not {scan_max!r}")
    return SearchSettings(
        filter_fields=tuple(dict.fromkeys(field.strip() for field in fields.split(",") if field.strip())),
        index=os.environ.get("CLIPQUEUE_SEARCH_INDEX") or DEFAULT_INDEX,
        scan_max=int(scan_max),
    )
