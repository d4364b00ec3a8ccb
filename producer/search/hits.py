"""Makes hits from what a backend found and from the documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from producer.contract.records import image_id_of, job_record
from producer.search.query import Duplicate, DuplicateGroup, Hit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from producer.contract.records import BsonId, Document
    from producer.search.duplicates import Member
    from producer.search.ranking import Group
    from producer.search.reader import VectorReader

_NOTHING = object()


def read_hit(group: Group, documents: Mapping[BsonId, Document], fields: Sequence[str]) -> Hit:
    """Return the hit for a group, whose first image is in `documents`, with the fields that it has."""
    document = documents[group.best.document_id]
    values = {field: value for field in fields if (value := _at(document, field.split("."))) is not _NOTHING}
    return Hit(
        image_id=image_id_of(group.best.document_id),
        score=group.best.score,
        url=url_of(document),
        fields=values,
        duplicates=tuple(image_id_of(one.document_id) for one in group.folded if one.document_id in documents),
    )


def read_groups(groups: Iterable[Sequence[Member]], reader: VectorReader, model: str) -> Iterator[DuplicateGroup]:
    """Yield the groups of images, without those whose documents are gone."""
    groups = list(groups)
    found = reader.by_id([member.document_id for group in groups for member in group])
    documents = {key: document for key, document in found.items() if is_of_model(document, model)}
    for group in groups:
        images = [
            Duplicate(image_id_of(member.document_id), url_of(documents[member.document_id]), member.cosine)
            for member in group
            if member.document_id in documents
        ]
        if len(images) > 1:
            yield DuplicateGroup(tuple(images))


def url_of(document: Document) -> str | None:
    """Return the URL that was enqueued last, or else the document's `url`; None if it has none."""
    urls = (job_record(document).get("url"), document.get("url"))
    return next((url for url in urls if isinstance(url, str)), None)


def is_of_model(document: Document, model: str) -> bool:
    """Return whether the document's vector is of this model."""
    return bool(job_record(document).get("model") == model)


def _at(found: Any, keys: list[str]) -> Any:
    """Return the value at a path; of an array of documents, the values of those that have one."""
    if not keys:
        return found
    if isinstance(found, list):
        values = [value for one in found if (value := _at(one, keys)) is not _NOTHING]
        return values or _NOTHING
    return _at(found[keys[0]], keys[1:]) if isinstance(found, dict) and keys[0] in found else _NOTHING
