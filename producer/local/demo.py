"""`clipqueue demo`: the whole job once, on the embedded stack, with pictures that ship with the project."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pymongo
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from producer.client import EmbeddingClient
from producer.contract import DEFAULT_COLLECTION, DEFAULT_DATABASE, id_of_url, redact_url
from producer.local.image_server import serve_folder
from producer.local.stack import LOOPBACK_ALLOWED, Stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

SAMPLES = Path(__file__).parent / "samples"
_SUFFIXES = {".jpg", ".png", ".webp", ".gif", ".avif", ".tif", ".bmp"}
_DEADLINE_S = 600.0
_NO_WEIGHTS = (
    "This model has random weights, so that nothing had to be downloaded: the path is real, the similarities mean "
    "little. Run it again with CLIP_PRETRAINED=openai for the real model."
)

# Whatever this shell has set for other workers, this one must reach the samples and write where the demo looks.
_SAMPLES_ENV = {**LOOPBACK_ALLOWED, "CLIPQUEUE_COLLECTION": DEFAULT_COLLECTION}

Document = dict[str, Any]


def run_demo(urls: Sequence[str], console: Console) -> bool:
    """Embed `urls`, or the sample pictures if there are none, and print a table; return whether all are done.

    Raises:
        StackError: A part of the stack does not start, or dies.
    """
    with ExitStack() as cleanup:
        data_dir = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="clipqueue-demo-")))
        stack = cleanup.enter_context(Stack(data_dir))
        with console.status("Starting Redis, MongoDB and a worker; loading the model takes some seconds"):
            stack.start_servers()
            stack.start_worker({**_model_env(), **_SAMPLES_ENV})
        console.print(f"Redis    {stack.redis_url}\nMongoDB  {stack.mongodb_uri}\nWorker   ready")
        jobs = [(id_of_url(url), url) for url in dict.fromkeys(urls)] or _sample_jobs(
            cleanup.enter_context(serve_folder(SAMPLES))
        )
        with EmbeddingClient(stack.redis_url) as client:
            console.print(f"Enqueued {client.enqueue_many(jobs)} images")
        documents = _follow(stack, len(jobs), console)
    _print_table(jobs, documents, console)
    done = len([document for document in documents if document["embedding_job"]["status"] == "done"])
    console.print(f"[bold]{done} of {len(jobs)} done[/bold]")
    if _model_env():
        console.print(_NO_WEIGHTS, style="yellow")
    console.print(
        "Next: `make up` (or `clipqueue up`) keeps servers and a worker running; the README shows how to use them."
    )
    return done == len(jobs)


def _model_env() -> dict[str, str]:
    return {} if os.environ.get("CLIP_PRETRAINED") else {"CLIP_PRETRAINED": "untrained"}


def _sample_jobs(base_url: str) -> list[tuple[str, str]]:
    names = sorted(path.name for path in SAMPLES.iterdir() if path.suffix in _SUFFIXES)
    return [(name, f"{base_url}/{name}") for name in names]


def _follow(stack: Stack, expected: int, console: Console) -> list[Document]:
    columns = (TextColumn("Embedding"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    deadline = time.monotonic() + _DEADLINE_S
    with (
        pymongo.MongoClient[Document](stack.mongodb_uri) as client,
        Progress(*columns, console=console) as progress,
    ):
        collection = client[DEFAULT_DATABASE][DEFAULT_COLLECTION]
        bar = progress.add_task("embed", total=expected)
        while (finished := collection.count_documents({})) < expected and time.monotonic() < deadline:
            progress.update(bar, completed=finished)
            stack.check()
            time.sleep(0.1)
        progress.update(bar, completed=finished)
        return list(collection.find())


def _print_table(jobs: Sequence[tuple[str, str]], documents: list[Document], console: Console) -> None:
    table = Table("image", "status", "format", "size", "ms", "nearest other", "cosine")
    table.box, table.padding, table.pad_edge = SIMPLE_HEAD, (0, 1, 0, 0), False  # fits 80 columns
    names = {image_id: redact_url(url).rpartition("/")[2] or redact_url(url) for image_id, url in jobs}
    found = {document["_id"]: document["embedding_job"] for document in documents}
    nearest = _nearest(documents)
    for image_id in (image_id for image_id in names if image_id in found):
        job = found[image_id]
        ms = f"{(job['finished_at'] - job['enqueued_at']).total_seconds() * 1000:.0f}"
        if job["status"] == "done":
            other, cosine = nearest.get(image_id, ("", ""))
            cells = (job["format"], f"{job['width']}x{job['height']}", ms, names.get(other, ""), cosine)
        else:
            cells = ("", "", ms, f"{job['error']['code']}: {job['error']['message']}", "")
        table.add_row(*(escape(cell) for cell in (names[image_id], job["status"], *cells)))
    console.print(table)


def _nearest(documents: list[Document]) -> dict[str, tuple[str, str]]:
    """Return, by id, the id of the most similar other image and the cosine: a plain product of unit vectors."""
    done = [document for document in documents if document["embedding_job"]["status"] == "done"]
    if len(done) < 2:  # noqa: PLR2004
        return {}
    vectors = np.array([document["embedding"] for document in done], dtype=np.float32)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    best = cosines.argmax(axis=1)
    return {
        document["_id"]: (done[other]["_id"], f"{cosines[row, other]:.3f}")
        for row, (document, other) in enumerate(zip(done, best, strict=True))
    }
