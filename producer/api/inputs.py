"""What a client wants to embed, in all forms that clients send: a text, the URL of an image, or an image."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

from producer.api.failures import ApiError, bad_request
from producer.contract.errors import InvalidJob
from producer.contract.queries import MAX_IMAGE_BYTES, Query

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT, IMAGE = "text", "image"
MODALITIES = (TEXT, IMAGE)
# The keys of an object that holds an input, and what each holds.
_OBJECT_KEYS = {"text": TEXT, "image": IMAGE, "url": IMAGE, "bytes": IMAGE}
_DATA_URI = re.compile(r"data:image/[a-z0-9.+-]{1,40}(;[a-z0-9=.+-]{1,40}){0,4};base64,", re.IGNORECASE)
_URL = re.compile(r"https?://\S+", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{64,}={0,2}")
# The first bytes of the image formats that workers decode, and how many base64 digits hold them.
_MAGIC = re.compile(
    rb"\xff\xd8\xff|\x89PNG|GIF8|RIFF....WEBP|BM.{4}\0\0\0\0|II\*\0|MM\0\*|....ftyp(?:avif|avis|heic|heix|mif1|msf1)",
    re.DOTALL,
)
_MAGIC_DIGITS = 16


def looks_like_image(content: bytes) -> bool:
    """Return whether bytes begin like an image that workers may be able to decode."""
    return _MAGIC.match(content[:_MAGIC_DIGITS]) is not None


def guess_modality(text: str) -> str:
    """Return whether a string is an image: a data URI, a URL alone, or an image file in base64. All else is a text."""
    if _DATA_URI.match(text) or _URL.fullmatch(text):
        return IMAGE
    if _BASE64.fullmatch(text) and looks_like_image(_decoded(text[:_MAGIC_DIGITS])):
        return IMAGE
    return TEXT


def is_data_uri(text: str) -> bool:
    """Return whether a string is a `data:` URI of an image."""
    return _DATA_URI.match(text) is not None


def query_of_string(text: str, modality: str, model: str, param: str, *, truncate: bool = True) -> Query:
    """Return the query for a string.

    Args:
        text: A text; or the URL, the data URI or the base64 of an image.
        modality: `text` or `image`.
        model: The id of the model.
        param: What an error calls the string.
        truncate: As in `Query.text`.

    Raises:
        ApiError: The string cannot be used.
    """
    try:
        if modality == TEXT:
            return Query.text(text, model, truncate=truncate)
        if _URL.match(text):
            return Query.image_url(text, model)
        return query_of_bytes(_image_bytes(text, param), model, param)
    except InvalidJob as exc:
        raise bad_request(str(exc), param) from None


def query_of_bytes(content: bytes, model: str | None, param: str) -> Query:
    """Return the query for an image file.

    Raises:
        ApiError: It is too large, or begins like no image.
    """
    if len(content) > MAX_IMAGE_BYTES:
        raise _too_large(param)
    if not looks_like_image(content):
        raise bad_request("the bytes are no image; JPEG, PNG, WebP, GIF, AVIF, TIFF, BMP and HEIC are decoded", param)
    try:
        return Query.image_bytes(content, model)
    except InvalidJob as exc:
        raise bad_request(str(exc), param) from None


def query_of_object(value: Mapping[str, Any], model: str, param: str, *, truncate: bool = True) -> Query:
    """Return the query for an object such as `{"text": "a cat"}` or `{"image": "https://..."}`.

    Raises:
        ApiError: It has not exactly one known key, or its value cannot be used.
    """
    known = [key for key in _OBJECT_KEYS if value.get(key) is not None]
    if len(known) != 1:
        raise bad_request('an input object has one of the keys "text", "image", "url" and "bytes"', param)
    [key] = known
    if not isinstance(value[key], str):
        raise bad_request("must be a string", f"{param}.{key}")
    return query_of_string(value[key], _OBJECT_KEYS[key], model, f"{param}.{key}", truncate=truncate)


def _image_bytes(text: str, param: str) -> bytes:
    if len(text) > MAX_IMAGE_BYTES * 4 // 3 + 200:
        raise _too_large(param)
    prefix = _DATA_URI.match(text)
    content = _decoded(text[prefix.end() :] if prefix else text)
    if not content:
        raise bad_request(
            "must be an http or https URL, a data:image/...;base64, URI, or an image file in base64", param
        )
    return content


def _too_large(param: str) -> ApiError:
    return ApiError(413, "too_large", f"the image has more than {MAX_IMAGE_BYTES} bytes", param=param)


def _decoded(text: str) -> bytes:
    """Return the bytes of a base64 text in either alphabet, with or without padding; no bytes if it is none."""
    digits = "".join(text.split()).translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""
