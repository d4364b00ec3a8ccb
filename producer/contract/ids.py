"""The id of an image, which is the `_id` of its document: its four types, and how JSON and a command line spell them.

JSON has them as MongoDB's extended JSON: `"photo-1"`, `{"$oid": "<24 hex digits>"}`, `{"$numberLong": "5"}` and
`{"$uuid": "<36 characters>"}`.
"""

from __future__ import annotations

import base64
import re
import uuid
from dataclasses import dataclass
from typing import Any

from .errors import InvalidJob
from .text import check_text

MAX_ID_CHARS = 1024
ID_TYPES = ("string", "object-id", "integer", "uuid")
# What the HTTP API calls the types but the string.
API_TYPES = {"oid": "$oid", "int": "$numberLong", "uuid": "$uuid"}
_INTEGERS = range(-(2**63), 2**63)
# A double is exact up to here, and beyond it may have been rounded. JavaScript calls it MAX_SAFE_INTEGER.
MAX_EXACT_DOUBLE = 2**53 - 1
_UUID_SUBTYPE = 4
_UUID_BYTES = 16
_HEX24 = re.compile(r"[0-9a-fA-F]{24}")
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_BASE64_OF_UUID = re.compile(r"[A-Za-z0-9+/]{22}==")
_NO_INTEGER = "an integer image_id is a whole number within 64 bits, without leading zeros"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class ObjectIdRef:
    """A MongoDB ObjectId as its 24 hex digits. With it, the producer does not need the package bson."""

    hex: str

    def __str__(self) -> str:
        return self.hex


ImageId = str | int | uuid.UUID | ObjectIdRef


def parse_image_id(value: object) -> ImageId:
    """Read an id from a Python value, from one that was read from JSON, or from the `_id` of a document.

    Args:
        value: A string; an integer; a `uuid.UUID`; a `bson.ObjectId` or an `ObjectIdRef`; a `bson.Binary` of subtype 4;
            extended JSON: `{"$oid"}`, `{"$numberLong"}`, `{"$numberInt"}`, `{"$uuid"}`, `{"$binary"}` of subtype 04. A
            whole float is an integer: Node's driver stores integers beyond 32 bits as doubles.

    Raises:
        InvalidJob: It has another type, is an integer beyond 64 bits, or is a string that is empty, has more than 1,024
            characters or contains a control character.
    """
    image_id: ImageId
    if isinstance(value, str):
        image_id = value
    else:
        image_id = _from_extended_json(value) if isinstance(value, dict) else _from_value(value)
    check_image_id(image_id)
    return image_id


def image_id_of_text(text: str, id_type: str) -> ImageId:
    """Return the id of a type in ID_TYPES that a text spells. A text alone does not say which type it is of.

    Raises:
        InvalidJob: The text spells no id of this type.
    """
    if id_type == "string":
        return parse_image_id(text)
    return parse_image_id({{"object-id": "$oid", "integer": "$numberLong", "uuid": "$uuid"}[id_type]: text})


def wire_id(image_id: ImageId) -> str | dict[str, str]:
    """Return an id as MongoDB's extended JSON."""
    if isinstance(image_id, str):
        return image_id
    if isinstance(image_id, int):
        return {"$numberLong": str(image_id)}
    return {"$uuid" if isinstance(image_id, uuid.UUID) else "$oid": str(image_id)}


def image_name(image_id: ImageId) -> dict[str, str]:
    """Return an id as the HTTP API and the commands write it: `{"id": "5", "type": "int"}`. A string has no type."""
    wire = wire_id(image_id)
    if isinstance(wire, str):
        return {"id": wire}
    return next({"id": wire[key], "type": name} for name, key in API_TYPES.items() if key in wire)


def check_image_id(image_id: object) -> None:
    """Check that this is an `ImageId` that a job may have. Raises InvalidJob."""
    if isinstance(image_id, str):  # the most frequent type first
        _check_text_id(image_id)
    elif isinstance(image_id, ObjectIdRef):
        if not _HEX24.fullmatch(image_id.hex):
            raise InvalidJob("an ObjectId has exactly 24 hex digits")
    elif isinstance(image_id, int) and not isinstance(image_id, bool):
        if image_id not in _INTEGERS:
            raise InvalidJob(_NO_INTEGER)
    elif not isinstance(image_id, uuid.UUID):
        raise InvalidJob(
            'image_id must be a string, an integer, {"$oid": "<24 hex digits>"} or {"$uuid": "<36 characters>"}'
        )


def _from_value(value: Any) -> Any:
    """Return the id that a value is; the value itself if it can be none."""
    if isinstance(value, ObjectIdRef):
        return ObjectIdRef(value.hex.lower())
    if isinstance(value, float) and value.is_integer():
        return _exact(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)  # of a subclass too, such as bson.Int64
    # The classes of the package bson, without importing it.
    if type(value).__name__ == "ObjectId":
        return ObjectIdRef(str(value))
    if type(value).__name__ == "Binary" and (value.subtype, len(value)) == (_UUID_SUBTYPE, _UUID_BYTES):
        return uuid.UUID(bytes=bytes(value))
    return value


def _exact(number: float) -> int:
    if abs(number) > MAX_EXACT_DOUBLE:
        raise InvalidJob('image_id is a number beyond 2^53, which may be rounded: give it as {"$numberLong": "..."}')
    return int(number)


def _from_extended_json(value: dict[Any, Any]) -> Any:
    """Return the id that an object spells; the object itself if it spells none."""
    name, content = next(iter(value.items())) if len(value) == 1 else ("", None)
    if name == "$binary" and isinstance(content, dict):
        return _from_binary(content) or value
    if not isinstance(content, str):
        return value
    match name:
        case "$oid":
            return ObjectIdRef(content.lower())
        case "$numberLong" | "$numberInt":
            return _integer(content)
        case "$uuid":
            return _uuid(content)
    return value


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise InvalidJob(_NO_INTEGER)
    return int(text)


def _uuid(text: str) -> uuid.UUID:
    if not _UUID.fullmatch(text):
        raise InvalidJob("a UUID has 32 hex digits in groups of 8, 4, 4, 4 and 12, with hyphens between them")
    return uuid.UUID(text)


def _from_binary(content: dict[Any, Any]) -> uuid.UUID | None:
    """Return a UUID as mongoexport writes it; None for other binary values."""
    text = content.get("base64")
    if content != {"base64": text, "subType": "04"} or not isinstance(text, str) or not _BASE64_OF_UUID.fullmatch(text):
        return None
    return uuid.UUID(bytes=base64.b64decode(text))


def _check_text_id(image_id: str) -> None:
    if not image_id:
        raise InvalidJob("image_id is empty; give the _id of the document that should get the vector")
    if len(image_id) > MAX_ID_CHARS:
        raise InvalidJob(f"image_id has {len(image_id)} characters; at most {MAX_ID_CHARS} are allowed")
    check_text("image_id", image_id)
    if _CONTROL.search(image_id):  # it could forge log lines and terminal output
        raise InvalidJob("image_id contains a control character")
