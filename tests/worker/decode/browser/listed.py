"""Reads `files.toml`, the list of the picture files."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Listed:
    """One picture file.

    Attributes:
        name: The file's name in the folder `files`.
        kind: The format, and what is special about the file.
        by: The program that wrote it.
        command: A line for bash that writes it to `$out`, in a folder with the pictures of `source`. Empty if a person
            put it together.
        via: A line for bash that turns the file `$in` into a PNG `$out`, which Chromium draws in its place. For the
            formats that Chromium does not draw.
        code: The error code, if the file must be refused.
        difference: The highest mean difference of a channel to the drawing, of 255.
        note: What else a reader should know, such as why the drawing is right.
    """

    name: str
    kind: str
    by: str
    command: str = ""
    via: str = ""
    code: str = ""
    difference: float = 1.0
    note: str = ""

    @property
    def path(self) -> Path:
        """The picture file."""
        return FOLDER / "files" / self.name

    @property
    def shown(self) -> Path:
        """The PNG of what Chromium shows: opaque, sRGB, in the picture's own size."""
        return FOLDER / "shown" / f"{self.name}.png"


def read_list() -> list[Listed]:
    """Return all files of the list, in its order."""
    entries = tomllib.loads((FOLDER / "files.toml").read_text())
    return [Listed(name, **fields) for name, fields in entries.items()]
