"""Groups of near-duplicates: the same as by comparing all pairs, one after the other, and without holding them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from producer.search import duplicates as duplicates_module
from producer.search.blocks import Row, Table
from producer.search.duplicates import find_groups
from producer.search.errors import SearchUnavailable
from producer.search.query import Duplicates
from tests.producer.search.conftest import SETTINGS
from tests.producer.search.photos import photo, unit, vector_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo.collection import Collection

    from producer.search.search import ImageSearch
    from producer.search.vectors import Matrix

Document = dict[str, Any]


def table_of(vectors: Matrix, block_rows: int = 64) -> Table:
    table = Table(vectors.shape[1], (), block_rows)
    table.put(Row(f"{number:06}", vector, 0, {}) for number, vector in enumerate(vectors))
    table.publish()
    return table


def groups_of(table: Table, threshold: float) -> set[tuple[str, ...]]:
    return {
        tuple(str(member.document_id) for member in group)
        for batch in find_groups(table.snapshot, threshold)
        for group in batch
    }


def by_all_pairs(vectors: Matrix, left_out: set[int], threshold: float) -> set[tuple[str, ...]]:
    similar = vectors @ vectors.T >= threshold - 5e-7
    unseen, groups = set(range(len(vectors))) - left_out, set()
    while unseen:
        group, queue = set(), {unseen.pop()}
        while queue:
            row = queue.pop()
            group.add(row)
            queue |= {int(other) for other in np.flatnonzero(similar[row])} & (unseen - group)
        unseen -= group
        if len(group) > 1:
            groups.add(tuple(f"{row:06}" for row in sorted(group)))
    return groups


@pytest.mark.parametrize("seed", range(8))
def test_groups_are_those_of_all_pairs(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also chains, in which only neighbours are similar, and with removed rows and small batches."""
    random = np.random.default_rng(seed)
    monkeypatch.setattr(duplicates_module, "BATCH_ROWS", int(random.integers(1, 40)))
    vectors = random.standard_normal((int(random.integers(2, 400)), 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    table = table_of(vectors, int(random.integers(3, 90)))
    removed = {int(row) for row in random.integers(0, len(vectors), 20)}
    table.remove(f"{row:06}" for row in removed)
    table.compact()
    table.publish()
    threshold = float(random.uniform(0.9, 0.99))
    expected = by_all_pairs(vectors, removed, threshold)
    assert groups_of(table, threshold) == expected


def test_all_images_may_be_one_group() -> None:
    vectors = np.tile(unit(1, 2), (700, 1))
    (group,) = groups_of(table_of(vectors), 1.0)
    assert len(group) == 700


def test_a_group_comes_before_all_images_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last image is a near-duplicate of the first one, so it is compared next."""
    monkeypatch.setattr(duplicates_module, "BATCH_ROWS", 10)
    vectors = np.stack([vector_of(str(number)) for number in range(499)] + [vector_of("0")])
    calls: list[tuple[int, int]] = []
    batches = find_groups(table_of(vectors).snapshot, 0.97, lambda *counts: calls.append(counts))
    (group,) = next(batches)
    assert [(member.document_id, member.cosine) for member in group] == [("000000", 1.0), ("000499", 1.0)]
    assert calls == [(10, 500), (20, 500)]
    assert list(batches) == []
    assert calls[-1] == (500, 500)


def test_a_collection_has_its_groups_with_urls(
    photos: Collection[Document], open_search: Callable[..., ImageSearch]
) -> None:
    vectors = {"a": unit(1), "b": unit(1, 0.2), "c": unit(1, 0.4), "x": unit(0, 1), "gone": unit(0, 1)}
    photos.insert_many([photo(key, vector) for key, vector in vectors.items()])
    search = open_search(photos)
    search.warm_up("fake/model")
    photos.delete_one({"_id": "gone"})
    (group,) = search.duplicates(Duplicates(0.97))
    assert [(image.image_id, image.url, image.cosine) for image in group.images] == [
        ("a", "http://host/a.jpg", 1.0),
        ("b", "http://host/b.jpg", pytest.approx(float(unit(1) @ unit(1, 0.2)), abs=2e-6)),
        ("c", "http://host/c.jpg", pytest.approx(float(unit(1) @ unit(1, 0.4)), abs=2e-6)),
    ]
    assert group.images[2].cosine < 0.97, "it is in the group because it resembles b"


def test_too_many_images_are_refused_before_the_first_group(
    photos: Collection[Document], open_search: Callable[..., ImageSearch]
) -> None:
    photos.insert_many([photo(str(number), unit(1)) for number in range(3)])
    search = open_search(photos, type(SETTINGS)(scan_max=2))
    with pytest.raises(SearchUnavailable, match="more than 2 images"):
        search.duplicates(Duplicates())
