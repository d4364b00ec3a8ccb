"""`clipqueue demo`: embeds the sample images, or given URLs, on the embedded stack, and prints the results."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pymongo
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from producer.client.client import EmbeddingClient
from producer.contract.errors import ClipqueueError
from producer.contract.job import id_of_url
from producer.contract.names import DEFAULT_COLLECTION, DEFAULT_DATABASE
from producer.local.demo_page import serve_page
from producer.local.demo_tables import Document, is_done, print_results, print_searches
from producer.local.environment import demo_environment
from producer.local.logs import tail
from producer.local.sample_server import serve_folder
from producer.local.stack import Stack, StackError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

SAMPLES = Path(__file__).parent / "samples"
QUERIES = {"red apple": "red-apple", "a dog": "dog-face", "rain": "cloud-with-rain"}
"""The texts to search the samples for, and the sample that each search must find."""

# Longer than all attempts for an image whose host does not answer (SHORT_RETRIES).
_IDLE_S = 180.0
_TOTAL_S = 600.0
_POLL_S = 0.1
_SAMPLES_PER_ROW = 5
_QUERY_S = 30.0
_NEXT = (
    "Next: `clipqueue demo --open` shows these images in a search page; `make up` (or `clipqueue up`) keeps servers, a "
    "worker and an empty page running."
)


def run_demo(urls: Sequence[str], console: Console, model_env: Mapping[str, str], *, keep_open: bool = False) -> bool:
    """Embed `urls` and print a table; without URLs, embed the samples and search them.

    Args:
        urls: The images to embed.
        console: Where to print.
        model_env: Variables that choose the model.
        keep_open: Then serve the search page until Ctrl-C.

    Returns:
        Whether all images are done.

    Raises:
        StackError: A part of the stack does not start or has ended, or the worker embeds nothing.
    """
    with ExitStack() as cleanup:
        data_dir = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="clipqueue-demo-")))
        stack = cleanup.enter_context(Stack(data_dir, shell=demo_environment(os.environ, model_env)))
        with console.status("Starting Redis, MongoDB and a worker; loading the model takes a few seconds"):
            stack.start_servers()
            stack.start_worker()
        console.print(f"Redis    {stack.redis_url}\nMongoDB  {stack.mongodb_uri}\nWorker   ready")
        jobs = [(id_of_url(url), url) for url in dict.fromkeys(urls)] or _sample_jobs(
            cleanup.enter_context(serve_folder(SAMPLES))
        )
        client = cleanup.enter_context(EmbeddingClient(stack.redis_url))
        console.print(f"Enqueued {client.enqueue_many(jobs)} images")
        documents = _wait_for_results(stack, len(jobs), console)
        print_results(jobs, documents, console, every=1 if urls else _SAMPLES_PER_ROW)
        done = len([document for document in documents if is_done(document)])
        console.print(f"[bold]{done} of {len(jobs)} done[/bold]")
        if not urls and done:
            _search(client, documents, console)
        if keep_open:
            serve_page(stack, documents, console)
    if not keep_open:
        console.print(_NEXT)
    return done == len(jobs)


def _search(client: EmbeddingClient, documents: list[Document], console: Console) -> None:
    """Embed each text by the worker, as a backend does, and print the images that fit best."""
    try:
        vectors = [client.embed_text(text, timeout_s=_QUERY_S) for text in QUERIES]
    except ClipqueueError as exc:
        console.print(f"No search: {exc}", style="yellow", markup=False)
    else:
        print_searches(dict(zip(QUERIES, vectors, strict=True)), documents, console)


def _sample_jobs(base_url: str) -> list[tuple[str, str]]:
    paths = sorted(SAMPLES.glob("*/[!.]*"))
    return [(path.name, f"{base_url}/{path.relative_to(SAMPLES).as_posix()}") for path in paths]


def _wait_for_results(
    stack: Stack, expected: int, console: Console, idle_s: float = _IDLE_S, total_s: float = _TOTAL_S
) -> list[Document]:
    """Return the documents when all images have a result.

    Raises:
        StackError: A part has ended, no result has come for `idle_s`, or some are missing after `total_s`.
    """
    columns = (TextColumn("Embedding"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    started = last_result = time.monotonic()
    finished = 0
    with (
        pymongo.MongoClient[Document](stack.mongodb_uri) as client,
        Progress(*columns, console=console) as progress,
    ):
        collection = client[DEFAULT_DATABASE][DEFAULT_COLLECTION]
        bar = progress.add_task("embed", total=expected)
        while finished < expected:
            time.sleep(_POLL_S)
            stack.check()
            before, finished = finished, collection.count_documents({})
            progress.update(bar, completed=finished)
            now = time.monotonic()
            last_result = now if finished > before else last_result
            if now - last_result > idle_s or now - started > total_s:
                raise StackError(
                    f"only {finished} of {expected} images have a result after {now - started:.0f} s, and the last one "
                    f"came {now - last_result:.0f} s ago; the worker's log ends with:{tail(stack.log('worker'))}"
                )
        return list(collection.find())
