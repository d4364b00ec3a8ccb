"""A row of the input: an image to enqueue, or what is wrong with it."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from producer.contract.errors import ClipqueueError, InvalidJob
from producer.contract.ids import image_id_of_text, parse_image_id
from producer.contract.job import id_of_url
from producer.contract.urls import check_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from producer.contract.ids import ImageId

# How mongoexport writes an ObjectId in CSV, and how the MongoDB shell shows the other types.
_CONSTRUCTOR = re.compile(r"""(ObjectId|UUID|NumberLong|NumberInt)\((["']?)([^"'()]*)\2\)""")
_TYPES = {"ObjectId": "object-id", "UUID": "uuid", "NumberLong": "integer", "NumberInt": "integer"}
# How mongoexport writes a UUID in CSV.
_HEX32 = re.compile(r"[0-9a-fA-F]{32}")
_HEX24 = re.compile(r"[0-9a-fA-F]{24}")


class UnreadableInput(ClipqueueError):
    """The input, or the rest of it, cannot be read. The message says what it is and what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One image to enqueue.

    Attributes:
        source: Where the row comes from, such as `line 7`.
        image_id: The id as a text, or as a value that was read from JSON; None if it is made from the URL.
        url: The URL, not yet checked.
        problem: Why the row cannot be read, if it cannot.
    """

    source: str
    image_id: Any = None
    url: Any = ""
    problem: str = ""

    def checked_id(self, id_type: str | None) -> ImageId:
        """Return the id, if the row makes a valid job.

        Args:
            id_type: What a text spells, one of ID_TYPES. By default, a text is a string, unless it names its type, as
                `ObjectId(...)` does. Values from JSON have a type.

        Raises:
            InvalidJob: The row makes no valid job.
        """
        if self.problem:
            raise InvalidJob(self.problem)
        check_url(self.url)
        if self.image_id is not None:
            return _read_id(self.image_id, id_type)
        if id_type not in {None, "string"}:
            raise InvalidJob(f"the row has no id, and the type of the ids is {id_type}")
        return id_of_url(self.url)


def rows_of_urls(urls: Iterable[str], image_id: str | None = None) -> Iterator[Row]:
    """Yield a row for each URL, with `image_id` or an id made from the URL."""
    for number, url in enumerate(urls, start=1):
        yield Row(f"URL {number}", image_id, url)


def spells_object_id(image_id: ImageId) -> bool:
    """Return whether an id is a string that looks like an ObjectId."""
    return isinstance(image_id, str) and _HEX24.fullmatch(image_id) is not None


def _read_id(value: Any, id_type: str | None) -> ImageId:
    if not isinstance(value, str):
        return parse_image_id(_double(value))
    if not value or id_type == "string":
        return parse_image_id(value)
    if id_type is None and value.startswith('{"$'):
        return parse_image_id(_from_json(value))
    if found := _CONSTRUCTOR.fullmatch(value):
        named = _TYPES[found[1]]
        if id_type not in {None, named}:
            raise InvalidJob(f"the id is an {found[1]}, and the type of the ids is {id_type}")
        id_type, value = named, found[3]
    if id_type == "uuid" and _HEX32.fullmatch(value):
        return uuid.UUID(value)
    return image_id_of_text(value, id_type or "string")


def _double(value: Any) -> Any:
    """Return the float that canonical extended JSON spells; another value as it is."""
    try:
        return float(value["$numberDouble"]) if set(value) == {"$numberDouble"} else value
    except (TypeError, ValueError):
        return value


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidJob("the id begins like extended JSON, but cannot be read as JSON") from None
