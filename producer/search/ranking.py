"""Finds the hits of one page: fetches as many candidates as are needed, cuts them off, and folds near-duplicates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from producer.search.candidates import SCORE_DIGITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producer.contract.records import BsonId
    from producer.search.candidates import Backend, Candidate, Place, Target
    from producer.search.vectors import Vector

# A search looks at no more candidates than this, even if most of them are folded.
MAX_CANDIDATES = 4000
_SAME = 10**-SCORE_DIGITS / 2


@dataclass(frozen=True)
class Cuts:
    """Which candidates are hits.

    Attributes:
        min_score: The lowest score; None for no limit.
        within: How much lower than the best hit's a score may be; None for no limit.
        dedupe: Two images with this cosine are near-duplicates; None keeps all.
        left_out: The images that are no hits.
    """

    min_score: float | None
    within: float | None
    dedupe: float | None
    left_out: frozenset[BsonId]


@dataclass(frozen=True)
class Page:
    """Which hits to return.

    Attributes:
        offset: The number of hits on the pages before.
        limit: The maximum number of hits on this page.
        after: The place of the last hit on the page before; None on the first page.
    """

    offset: int
    limit: int
    after: Place | None


@dataclass
class Group:
    """A hit and the near-duplicates that were folded into it."""

    best: Candidate
    folded: list[Candidate] = field(default_factory=list)

    def ids(self) -> list[BsonId]:
        """Return the `_id` of the hit and of its near-duplicates."""
        return [self.best.document_id, *(candidate.document_id for candidate in self.folded)]


def find_page(backend: Backend, target: Target, cuts: Cuts, page: Page) -> tuple[list[Group], bool]:
    """Return the hits of a page, and whether there are more.

    Each page is computed from the best hit on, so that near-duplicates are folded into the same hits on every page.

    Args:
        backend: Where to search.
        target: What to search for.
        cuts: Which candidates are hits.
        page: Which hits.
    """
    wanted = page.offset + page.limit + 1
    count = min(2 * wanted if cuts.dedupe is not None else wanted, MAX_CANDIDATES) + len(cuts.left_out)
    while True:
        found = backend.best(target, count)
        kept, is_cut = _cut(found.candidates, cuts)
        groups = [group for group in fold(kept, cuts.dedupe) if page.after is None or group.best.place > page.after]
        if found.is_all or is_cut or len(groups) > page.limit or count >= MAX_CANDIDATES:
            return groups[: page.limit], len(groups) > page.limit
        count = min(2 * count, MAX_CANDIDATES)


def fold(candidates: Sequence[Candidate], least: float | None) -> list[Group]:
    """Fold each candidate into the first better one that is a near-duplicate of it.

    Args:
        candidates: In order; with vectors if `least` is a number.
        least: The lowest cosine of near-duplicates; None folds nothing.
    """
    if least is None or not candidates:
        return [Group(candidate) for candidate in candidates]
    groups: list[Group] = []
    kept = np.empty((len(candidates), len(_vector(candidates[0]))), np.float32)
    for candidate in candidates:
        vector = _vector(candidate)
        cosines = kept[: len(groups)] @ vector
        similar = np.flatnonzero(cosines >= least - _SAME)
        if len(similar):
            groups[similar[0]].folded.append(candidate)
        else:
            kept[len(groups)] = vector
            groups.append(Group(candidate))
    return groups


def _cut(candidates: Sequence[Candidate], cuts: Cuts) -> tuple[list[Candidate], bool]:
    """Return the candidates that are hits, and whether the scores of some are too low."""
    allowed = [candidate for candidate in candidates if candidate.document_id not in cuts.left_out]
    least = -np.inf if cuts.min_score is None else cuts.min_score
    if cuts.within is not None and allowed:
        least = max(least, allowed[0].score - cuts.within)
    hits = [candidate for candidate in allowed if candidate.score >= least - _SAME]
    return hits, len(hits) < len(allowed)


def _vector(candidate: Candidate) -> Vector:
    assert candidate.vector is not None  # noqa: S101  (the search asked for vectors)
    return candidate.vector
