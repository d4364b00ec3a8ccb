"""Which searches are valid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.contract.errors import InvalidJob
from producer.contract.ids import check_image_id
from producer.contract.queries import MAX_IMAGE_BYTES, MAX_TEXT_CHARS
from producer.contract.text import check_text
from producer.contract.urls import check_url
from producer.search.errors import InvalidSearch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producer.search.query import Duplicates, SearchQuery

MAX_RANGE = 1000  # hits on all pages of one search
MAX_IDS = 16
MAX_NOT_TEXTS = 8
MAX_WEIGHT = 100.0
_MAX_MODEL_CHARS = 255


def check_query(query: SearchQuery, fields: Sequence[str]) -> None:
    """Check all parts of a search except its filter and its cursor.

    Args:
        query: The search.
        fields: The declared fields.

    Raises:
        InvalidSearch: A part cannot be used.
    """
    if query.text is None and query.image is None and not query.like:
        raise InvalidSearch("text", "give a text, an image, or the id of a stored image (`like`)")
    _check_texts("text", () if query.text is None else (query.text,), 1)
    _check_texts("not", query.not_text, MAX_NOT_TEXTS)
    _check_image(query.image)
    _check_ids("like", query.like)
    _check_ids("not", query.not_like)
    for name in ("text", "image", "like", "not_"):
        _check_number(f"weights.{name.rstrip('_')}", getattr(query.weights, name), 0, MAX_WEIGHT)
    if not _is_int(query.limit) or not 1 <= query.limit <= MAX_RANGE:
        raise InvalidSearch("limit", f"must be a whole number from 1 to {MAX_RANGE}")
    _check_number("min_score", query.min_score, -1, 1)
    _check_number("within", query.within, 0, 2)
    _check_number("dedupe", query.dedupe, 0, 1)
    _check_model(query.model)
    for field in query.fields:
        if field not in fields:
            declared = ", ".join(fields) or "no field"
            raise InvalidSearch("fields", f"{field!r} is not in CLIPQUEUE_FILTER_FIELDS, which declares {declared}")


def check_duplicates(wanted: Duplicates) -> None:
    """Check what `duplicates` is asked for.

    Raises:
        InvalidSearch: A part cannot be used.
    """
    _check_number("threshold", wanted.threshold, 0.5, 1)
    if wanted.limit is not None and (not _is_int(wanted.limit) or wanted.limit < 1):
        raise InvalidSearch("limit", "must be a whole number of at least 1")
    _check_model(wanted.model)


def _check_texts(param: str, texts: Sequence[str], most: int) -> None:
    if len(texts) > most:
        raise InvalidSearch(param, f"has more than {most} texts")
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise InvalidSearch(param, "must be a text that is not empty")
        if len(text) > MAX_TEXT_CHARS:
            raise InvalidSearch(param, f"has more than {MAX_TEXT_CHARS} characters")
        _check_unicode(param, text)


def _check_image(image: object) -> None:
    if isinstance(image, bytes):
        if not 0 < len(image) <= MAX_IMAGE_BYTES:
            raise InvalidSearch("image", f"must have 1 to {MAX_IMAGE_BYTES} bytes, not {len(image)}")
    elif isinstance(image, str):
        try:
            check_url(image)
        except InvalidJob as exc:
            raise InvalidSearch("image", str(exc)) from None
    elif image is not None:
        raise InvalidSearch("image", "must be a URL, or the bytes of a picture")


def _check_ids(param: str, image_ids: Sequence[object]) -> None:
    if len(image_ids) > MAX_IDS:
        raise InvalidSearch(param, f"has more than {MAX_IDS} ids")
    for image_id in image_ids:
        try:
            check_image_id(image_id)
        except InvalidJob:
            expected = "a string, an integer, an ObjectId or a UUID"
            raise InvalidSearch(param, f"must be the id of an image: {expected}") from None


def _check_number(param: str, number: object, least: float, most: float) -> None:
    if number is None and not param.startswith("weights"):
        return
    if not isinstance(number, int | float) or isinstance(number, bool):
        raise InvalidSearch(param, "must be a number")
    if not least <= number <= most:  # NaN is in no range
        raise InvalidSearch(param, f"must be from {least:g} to {most:g}")


def _check_model(model: object) -> None:
    if model is None:
        return
    if not isinstance(model, str) or not 0 < len(model) <= _MAX_MODEL_CHARS:
        raise InvalidSearch("model", "must be the id of a model, such as ViT-B-32-quickgelu/openai")
    _check_unicode("model", model)


def _check_unicode(param: str, text: str) -> None:
    try:
        check_text(param, text)
    except InvalidJob:
        raise InvalidSearch(param, "has a null character, or is not valid Unicode text") from None


def _is_int(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)
