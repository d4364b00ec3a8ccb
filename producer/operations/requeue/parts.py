"""Splits a collection into parts that an index serves, so that MongoDB reads no documents that need no job.

MongoDB reads each part in order of `_id`: equality on the status (and on the model), then the order, as the keys of
the indexes in `producer.documents.indexes`. A query for "not done" would have neither, and read every document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from producer.operations.requeue.selection import ALL, COMPARED, FAILED, FINISHED, MISSING, STALE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from producer.contract.records import Document
    from producer.operations.requeue.selection import Selection

_STATUS, _MODEL = "embedding_job.status", "embedding_job.model"
PENDING: Document = {_STATUS: "pending"}
# No value, or null. The embedded server finds the latter only with `$eq`.
_NONE: Document = {"$eq": None}
UNRECORDED: Document = {_STATUS: _NONE}
# Other programs may have written any status. There are hardly ever such documents, so their order costs nothing.
ODD: Document = {_STATUS: {"$nin": [*FINISHED, "pending", None]}}
_COMPARED_PART, _DONE_PART = "6 compared", "7 done"


@dataclass(frozen=True)
class Part:
    """Some of the documents.

    Attributes:
        name: Its name. The parts are read in order of their names, which are stored as progress.
        query: What its documents match.
        fields: The fields to read; the vector is not among them.
    """

    name: str
    query: Document
    fields: Mapping[str, int]

    def matching(self, query: Document) -> Document:
        """Return the query for those documents that match another query too."""
        return both(query, self.query)


def both(first: Document, second: Document) -> Document:
    """Return the query for documents that match two queries: without `$and` if these are on different fields.

    The embedded server does not use its indexes for `$and`.
    """
    return {"$and": [first, second]} if first.keys() & second.keys() else {**first, **second}


def parts_of(selection: Selection, find_models: Callable[[], list[Any] | None], begun: str = "") -> Iterator[Part]:
    """Yield the parts that may have selected documents, in order of their names.

    Args:
        selection: The selected documents. Those of a part must still be checked.
        find_models: Returns the models of the vectors, or None if MongoDB needs too long to find them. Called when the
            parts before are handled.
        begun: The name of the part that an earlier run has begun. Parts before it may be left out.
    """
    fields = projection(selection.url_field)
    if selection.only in (ALL, FAILED):
        yield Part("", {} if selection.only == ALL else {_STATUS: "failed"}, fields)
        return
    if MISSING in selection.states:
        yield Part("1 unrecorded", UNRECORDED, fields)
        yield Part("2 pending", PENDING, fields)
        yield Part("3 odd", ODD, fields)
    if STALE in selection.states:
        yield from _stale_parts(selection, find_models, begun)


def _stale_parts(selection: Selection, find_models: Callable[[], list[Any] | None], begun: str) -> Iterator[Part]:
    """Yield a part for each model if they are known, or else one for all documents that are done.

    An earlier run may have been told otherwise about the models, so both ways have names of their own: a name with
    another query would leave out documents.
    """
    fields, compared = projection(selection.url_field), _compared_fields(selection.url_field)
    if begun != _COMPARED_PART:
        models = None if selection.model is None or begun == _DONE_PART else find_models()
        if models is None:
            yield Part(_DONE_PART, {_STATUS: "done"}, compared)
            return
        others = {str(model): {"$eq": model} for model in models if model not in (None, selection.model)}
        for name in sorted(others):
            yield Part(f"4 model {name}", {_STATUS: "done", _MODEL: others[name]}, fields)
        yield Part("5 without a model", {_STATUS: "done", _MODEL: _NONE}, fields)
    # The URLs are compared here, because no index of MongoDB compares two fields with each other.
    yield Part(_COMPARED_PART, {_STATUS: "done", _MODEL: selection.model}, compared)


def projection(url_field: str) -> dict[str, int]:
    """Return the projection of the fields that a selection reads; the vector is not among them."""
    # MongoDB rejects a projection with a field and its parent.
    return {"embedding_job": 1} if _is_in_record(url_field) else {"embedding_job": 1, url_field: 1}


def _compared_fields(url_field: str) -> dict[str, int]:
    """Return a projection of single fields: an index that has all of them spares MongoDB the documents."""
    if _is_in_record(url_field):
        return projection(url_field)
    return {**{f"embedding_job.{name}": 1 for name in COMPARED}, url_field: 1}


def _is_in_record(url_field: str) -> bool:
    return url_field.partition(".")[0] == "embedding_job"
