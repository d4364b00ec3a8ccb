"""The tables that `clipqueue demo` prints: one of the results, one of the searches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from producer.contract.urls import redact_url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

Document = dict[str, Any]


def is_done(document: Document) -> bool:
    """Return whether the document has a vector."""
    return bool(document["embedding_job"]["status"] == "done")


def print_results(jobs: Sequence[tuple[str, str]], documents: list[Document], console: Console, every: int) -> None:
    """Print all failed images, and every `every`-th of the others; `jobs` are pairs of id and URL."""
    table = _table("image", "status", "format", "size", "ms", "nearest other", "cosine")
    names = {image_id: redact_url(url).rpartition("/")[2] or redact_url(url) for image_id, url in jobs}
    found = {document["_id"]: document for document in documents}
    nearest = _nearest(documents)
    failed = [image_id for image_id in names if image_id in found and not is_done(found[image_id])]
    done = [image_id for image_id in names if image_id in found and is_done(found[image_id])]
    for image_id in (*failed, *done[::every]):
        job = found[image_id]["embedding_job"]
        ms = f"{(job['finished_at'] - job['enqueued_at']).total_seconds() * 1000:.0f}"
        if job["status"] == "done":
            other, cosine = nearest.get(image_id, ("", ""))
            cells = (job["format"], f"{job['width']}x{job['height']}", ms, names.get(other, ""), cosine)
        else:
            cells = ("", "", ms, f"{job['error']['code']}: {job['error']['message']}", "")
        table.add_row(*(escape(cell) for cell in (names[image_id], job["status"], *cells)))
    console.print(table, end="")
    if len(found) > table.row_count:
        console.print(f"and {len(found) - table.row_count} more, all done\n")


def print_searches(queries: Mapping[str, Sequence[float]], documents: list[Document], console: Console) -> None:
    """Compare the vector of each text with the vectors in the documents, and print the three best images."""
    done = [document for document in documents if is_done(document)]
    cosines = np.array(list(queries.values()), dtype=np.float32) @ _vectors(done).T
    table = _table("search", "best", "second", "third")
    for query, row in zip(queries, cosines, strict=True):
        best = np.argsort(-row)[:3]
        table.add_row(query, *(f"{Path(done[index]['_id']).stem} {row[index]:.2f}" for index in best))
    console.print(table)


def _table(*columns: str) -> Table:
    table = Table(*columns)
    table.box, table.padding, table.pad_edge = SIMPLE_HEAD, (0, 1, 0, 0), False  # fits 80 columns
    return table


def _nearest(documents: list[Document]) -> dict[str, tuple[str, str]]:
    """Return for each image's id the id of the most similar other image and their cosine."""
    done = [document for document in documents if is_done(document)]
    if len(done) < 2:  # noqa: PLR2004
        return {}
    vectors = _vectors(done)
    cosines = vectors @ vectors.T  # the vectors have unit length
    np.fill_diagonal(cosines, -np.inf)
    best = cosines.argmax(axis=1)
    return {
        document["_id"]: (done[other]["_id"], f"{cosines[row, other]:.3f}")
        for row, (document, other) in enumerate(zip(done, best, strict=True))
    }


def _vectors(documents: list[Document]) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array([document["embedding"] for document in documents], dtype=np.float32)
