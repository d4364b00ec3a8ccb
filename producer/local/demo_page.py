"""`clipqueue demo --open`: the search page over the images of the demo."""

from __future__ import annotations

import os
import sys
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pymongo

from producer.contract.names import DEFAULT_COLLECTION, DEFAULT_DATABASE
from producer.local.demo_tables import Document

if TYPE_CHECKING:
    from rich.console import Console

    from producer.local.stack import Stack

_PAGE_ENV = {"CLIPQUEUE_FILTER_FIELDS": "title,format"}


def serve_page(stack: Stack, documents: list[Document], console: Console) -> None:
    """Serve the search page until Ctrl-C.

    Raises:
        StackError: The API does not start, or a part of the stack has ended.
    """
    with suppress(KeyboardInterrupt):  # the demo has then done what it was asked to
        with console.status("Starting the search page"):
            _add_fields(stack, documents)
            url = stack.start_api(_PAGE_ENV)
        console.print(f"Search page: {url}   Ctrl-C stops everything")
        console.file.flush()  # it may be a pipe
        if _has_display():
            webbrowser.open(url)
        stack.watch()


def _add_fields(stack: Stack, documents: list[Document]) -> None:
    """Give the documents fields of their own, as a backend's documents have, to show and to filter by."""
    updates = [
        pymongo.UpdateOne({"_id": document["_id"]}, {"$set": _fields(document)})
        for document in documents
        if "format" in document["embedding_job"]
    ]
    if updates:
        with pymongo.MongoClient[Document](stack.mongodb_uri) as client:
            client[DEFAULT_DATABASE][DEFAULT_COLLECTION].bulk_write(updates)


def _fields(document: Document) -> Document:
    name = Path(document["url"].partition("?")[0]).stem
    return {"title": name.replace("-", " "), "format": document["embedding_job"]["format"]}


def _has_display() -> bool:
    """Return whether a browser could open a window here, rather than take over the terminal."""
    return sys.platform in {"darwin", "win32"} or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
