"""`clipqueue demo`: the whole job once, on the embedded stack, with pictures that ship with the project."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pymongo
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from producer.client.client import EmbeddingClient
from producer.contract.job import id_of_url
from producer.contract.names import DEFAULT_COLLECTION, DEFAULT_DATABASE
from producer.contract.urls import redact_url
from producer.local.sample_server import serve_folder
from producer.local.stack import LOOPBACK_ALLOWED, Stack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

SAMPLES = Path(__file__).parent / "samples"
QUERIES = {"red apple": "red-apple", "a dog": "dog-face", "rain": "cloud-with-rain"}
"""What the samples are searched for, and the picture that each search is to find."""

_DEADLINE_S = 600.0
_SAMPLES_FOR_A_ROW = 5

# Whatever this shell has set for other workers, this one must reach the samples and write where the demo looks.
_SAMPLES_ENV = {**LOOPBACK_ALLOWED, "CLIPQUEUE_COLLECTION": DEFAULT_COLLECTION}

Document = dict[str, Any]


def run_demo(urls: Sequence[str], console: Console, model_env: Mapping[str, str]) -> bool:
    """Embed `urls` and print a table; without any, embed the sample pictures and search them.

    Args:
        urls: What to embed.
        console: Where to print.
        model_env: The variables that choose the model, where they differ from this shell's.

    Returns:
        Whether all are done.

    Raises:
        StackError: A part of the stack does not start, or dies.
    """
    with ExitStack() as cleanup:
        data_dir = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="clipqueue-demo-")))
        stack = cleanup.enter_context(Stack(data_dir))
        with console.status("Starting Redis, MongoDB and a worker; loading the model takes some seconds"):
            stack.start_servers()
            stack.start_worker({**model_env, **_SAMPLES_ENV})
        console.print(f"Redis    {stack.redis_url}\nMongoDB  {stack.mongodb_uri}\nWorker   ready")
        jobs = [(id_of_url(url), url) for url in dict.fromkeys(urls)] or _sample_jobs(
            cleanup.enter_context(serve_folder(SAMPLES))
        )
        with EmbeddingClient(stack.redis_url) as client:
            console.print(f"Enqueued {client.enqueue_many(jobs)} images")
        documents = _follow(stack, len(jobs), console)
    _print_table(jobs, documents, console, every=1 if urls else _SAMPLES_FOR_A_ROW)
    done = len([document for document in documents if document["embedding_job"]["status"] == "done"])
    console.print(f"[bold]{done} of {len(jobs)} done[/bold]")
    if not urls and done:
        _print_search(documents, console, model_env)
    console.print(
        "Next: `make up` (or `clipqueue up`) keeps servers and a worker running; the README shows how to use them."
    )
    return done == len(jobs)


def _sample_jobs(base_url: str) -> list[tuple[str, str]]:
    paths = sorted(SAMPLES.glob("*/[!.]*"))
    return [(path.name, f"{base_url}/{path.relative_to(SAMPLES).as_posix()}") for path in paths]


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


def _print_table(jobs: Sequence[tuple[str, str]], documents: list[Document], console: Console, every: int) -> None:
    """Print what failed, and of what is done one image in `every`."""
    table = Table("image", "status", "format", "size", "ms", "nearest other", "cosine")
    table.box, table.padding, table.pad_edge = SIMPLE_HEAD, (0, 1, 0, 0), False  # fits 80 columns
    names = {image_id: redact_url(url).rpartition("/")[2] or redact_url(url) for image_id, url in jobs}
    found = {document["_id"]: document["embedding_job"] for document in documents}
    nearest = _nearest(documents)
    failed = [image_id for image_id in names if image_id in found and found[image_id]["status"] != "done"]
    done = [image_id for image_id in names if image_id in found and found[image_id]["status"] == "done"]
    for image_id in (*failed, *done[::every]):
        job = found[image_id]
        ms = f"{(job['finished_at'] - job['enqueued_at']).total_seconds() * 1000:.0f}"
        if job["status"] == "done":
            other, cosine = nearest.get(image_id, ("", ""))
            cells = (job["format"], f"{job['width']}x{job['height']}", ms, names.get(other, ""), cosine)
        else:
            cells = ("", "", ms, f"{job['error']['code']}: {job['error']['message']}", "")
        table.add_row(*(escape(cell) for cell in (names[image_id], job["status"], *cells)))
    console.print(table, end="")
    if len(found) > table.row_count:
        console.print(f"and {len(found) - table.row_count} more, done like these\n")


def _print_search(documents: list[Document], console: Console, model_env: Mapping[str, str]) -> None:
    """Search the samples: the texts' vectors against those in MongoDB."""
    # Loads torch, and the model once more: a search of your own needs its text tower just so.
    from worker.encode.open_clip import EncoderConfig, OpenClipEncoder  # noqa: PLC0415
    from worker.errors import ModelUnavailable  # noqa: PLC0415
    from worker.settings import load_settings  # noqa: PLC0415

    done = [document for document in documents if document["embedding_job"]["status"] == "done"]
    vectors = np.array([document["embedding"] for document in done], dtype=np.float32)
    try:
        with console.status("Searching"):
            choice = EncoderConfig.of(load_settings())
            if model_env:
                choice = replace(choice, model=model_env["CLIP_MODEL"], pretrained=model_env.get("CLIP_PRETRAINED", ""))
            cosines = OpenClipEncoder(choice).encode_texts(list(QUERIES)) @ vectors.T
    except ModelUnavailable as exc:
        console.print(f"No search: {exc}", style="yellow", markup=False)
        return
    table = Table("search", "best", "second", "third")
    table.box, table.padding, table.pad_edge = SIMPLE_HEAD, (0, 1, 0, 0), False
    for query, row in zip(QUERIES, cosines, strict=True):
        best = np.argsort(-row)[:3]
        table.add_row(query, *(f"{Path(done[place]['_id']).stem} {row[place]:.2f}" for place in best))
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
