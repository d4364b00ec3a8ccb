"""Which columns of a CSV file, or fields of a JSON object, hold the id and the URL."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.operations.input.rows import UnreadableInput

if TYPE_CHECKING:
    from collections.abc import Sequence

ID_NAMES = ("_id", "id", "image_id")
URL_NAMES = ("url", "imageUrl", "photoUrl", "pictureUrl")
_IGNORED = re.compile(r"[\s_-]")


def _plain(name: str) -> str:
    return _IGNORED.sub("", name).lower()


_PLAIN_ID_NAMES = {_plain(name) for name in ID_NAMES}
_PLAIN_URL_NAMES = {_plain(name) for name in URL_NAMES}
KNOWN = f"the known names are {', '.join(ID_NAMES)} for the id, and {', '.join(URL_NAMES)} for the URL"


@dataclass(frozen=True, slots=True)
class Named:
    """The names of two columns, or the paths of two fields. Without `image_id`, ids are made from the URLs."""

    image_id: str | None
    url: str


@dataclass(frozen=True, slots=True)
class Positions:
    """The positions of two columns, from 0. Without `image_id`, ids are made from the URLs."""

    image_id: int | None
    url: int


@dataclass(frozen=True, slots=True)
class Columns:
    """What `--columns` says: two names, or the names of all columns in their order.

    Attributes:
        named: The names that it gives to both.
        order: The names of all columns; empty if it says `id=NAME,url=NAME`.
    """

    named: Named
    order: tuple[str, ...] = ()

    @property
    def positions(self) -> Positions:
        """The positions that `order` gives to both columns."""
        image_id = self.named.image_id
        return Positions(None if image_id is None else self.order.index(image_id), self.order.index(self.named.url))

    @classmethod
    def parse(cls, text: str) -> Columns:
        """Read `id=NAME,url=NAME`, or names in their order such as `url,id`.

        Raises:
            ValueError: It has no URL, or is not clear.
        """
        try:
            words = [word.strip() for word in next(csv.reader([text]))]
        except csv.Error:  # a line break
            raise ValueError("give the names in one line") from None
        if any("=" in word for word in words):
            return cls(_parse_named(words))
        try:
            positions = find_columns(words)
        except UnreadableInput as exc:
            raise ValueError(str(exc)) from None
        if positions is None:
            raise ValueError(f"no column is the URL; {KNOWN}")
        if positions.image_id is None and set(words) - {words[positions.url], "-"}:
            raise ValueError(f"no column is the id; {KNOWN}. Write - for a column that is neither")
        image_id = None if positions.image_id is None else words[positions.image_id]
        return cls(Named(image_id, words[positions.url]), tuple(words))


def find_columns(names: Sequence[str]) -> Positions | None:
    """Return the columns that hold the id and the URL by their names; None if none of them is a URL.

    Raises:
        UnreadableInput: Several may hold one of them.
    """
    plain = [_plain(name) for name in names]
    urls = [position for position, name in enumerate(plain) if name in _PLAIN_URL_NAMES]
    ids = [position for position, name in enumerate(plain) if name in _PLAIN_ID_NAMES]
    own = [position for position in ids if names[position].strip() == "_id"]  # MongoDB's name is never another column
    if not urls:
        return None
    image_id, url = _only(names, own or ids, "id"), _only(names, urls, "URL")
    return None if url is None else Positions(image_id, url)


def _only(names: Sequence[str], found: list[int], what: str) -> int | None:
    if len(found) > 1:
        several = " and ".join(names[position] for position in found)
        raise UnreadableInput(f"{several} may both be the {what}: choose with --columns id=NAME,url=NAME")
    return found[0] if found else None


def _parse_named(words: list[str]) -> Named:
    given = dict.fromkeys(("id", "url"), "")
    for word in words:
        role, _, name = (part.strip() for part in word.partition("="))
        if role not in given or not name or given[role]:
            raise ValueError("give id=NAME,url=NAME with the names of two columns, or just url=NAME")
        given[role] = name
    if not given["url"]:
        raise ValueError("give url=NAME too")
    return Named(given["id"] or None, given["url"])
