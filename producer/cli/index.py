"""`clipqueue index`: makes, shows and drops the indexes that a large collection needs."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from producer.cli.collection import collection_option, require_mongodb_uri
from producer.cli.output import CANNOT_TELL, fail
from producer.contract.errors import ClipqueueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pymongo.collection import Collection

    from producer.contract.records import Document
    from producer.documents.indexes import Index

_MAX_DIM = 8192
# MongoDB answers when it has built the indexes, which may take hours.
_BUILD_S = 24 * 3600.0


@click.group()
def index() -> None:
    """Make, show or drop the indexes that a large collection needs.

    The commands need three, so that they do not read all documents. A search needs one for MongoDB's vector search, on
    MongoDB Atlas or mongodb-atlas-local; CLIPQUEUE_SEARCH_INDEX names it, and the default is clipqueue. On other
    servers, searches compare all vectors in memory, and need an index to find new ones.
    """


@index.command()
@click.option("--wait", "until_ready", is_flag=True, help="Wait until searches can use MongoDB's vector search.")
@click.option(
    "--dim",
    type=click.IntRange(1, _MAX_DIM),
    help="The length of the vectors; by default that of the live workers' model, else of the documents' vectors.",
)
@click.option(
    "--quantization",
    type=click.Choice(("none", "scalar", "binary")),
    default="none",
    show_default=True,
    help="How MongoDB keeps the vectors: scalar and binary need less memory, and their scores are less exact.",
)
@click.option(
    "--url-field",
    help="The field of a document's URL. With it, the index for backfill also holds the URLs, about 200 bytes for each "
    "document. Then a backfill reads no document whose vector is current.",
)
@collection_option
def create(dim: int | None, quantization: str, url_field: str | None, collection: str, *, until_ready: bool) -> None:
    """Make the indexes that are missing: for the commands, then for searches. It can be run again at any time.

    The index of the vector search also covers the fields in CLIPQUEUE_FILTER_FIELDS. If there is one with another
    definition, MongoDB builds the new one and uses the old one meanwhile. The exit code is 1 if something was not made;
    a server without vector search only counts with --wait, --dim or --quantization.
    """
    with _open("create", collection) as documents:
        from producer.cli import vector_index  # noqa: PLC0415  (needs pymongo)
        from producer.documents.indexes import NEWEST, wanted_with  # noqa: PLC0415
        from producer.search.index import NoVectorSearch  # noqa: PLC0415

        _make(collection, documents, wanted_with(url_field))
        try:
            vector_index.create(documents, dim, quantization, until_ready=until_ready)
        except NoVectorSearch as exc:
            if until_ready or dim or quantization != "none":
                raise
            click.echo(str(exc))
            _make(collection, documents, (NEWEST,))


@index.command()
@collection_option
def show(collection: str) -> None:
    """Show the indexes and their state. The exit code is 1 if one is missing, and 3 if MongoDB does not tell."""
    with _open("show", collection, CANNOT_TELL) as documents:
        from producer.cli import vector_index  # noqa: PLC0415  (needs pymongo)
        from producer.documents.indexes import NEWEST  # noqa: PLC0415
        from producer.search.index import NoVectorSearch  # noqa: PLC0415

        lacking = _show(documents)
        try:
            problem = vector_index.show(documents)
        except NoVectorSearch as exc:
            click.echo(str(exc))
            lacking, problem = lacking + _show(documents, (NEWEST,)), None
    if lacking:
        click.echo(f"clipqueue: missing: {', '.join(lacking)}; make them with `clipqueue index create`", err=True)
    if problem:
        fail(problem)
    sys.exit(1 if lacking else 0)


@index.command()
@collection_option
def drop(collection: str) -> None:
    """Drop the index for searches. The indexes for the commands stay, and the vectors stay in the documents."""
    with _open("drop", collection) as documents:
        from producer.cli import vector_index  # noqa: PLC0415  (needs pymongo)
        from producer.documents.indexes import NEWEST  # noqa: PLC0415
        from producer.documents.indexes import drop as drop_index  # noqa: PLC0415
        from producer.search.index import NoVectorSearch  # noqa: PLC0415

        try:
            name: str | None = vector_index.drop(documents)
        except NoVectorSearch as exc:
            name = drop_index(documents, NEWEST)
            if name is None:
                fail(f"{exc}; there is no index {NEWEST.name!r}")
    click.echo(f"dropped the index {name!r}; the indexes for the commands stay (mongosh drops them by name)")


@contextmanager
def _open(command: str, collection: str, exit_code: int = 1) -> Iterator[Collection[Document]]:
    """Yield the collection; print an error in the block, and exit."""
    try:
        uri = require_mongodb_uri(f"clipqueue index {command}")
        from producer.documents.connection import open_collection  # noqa: PLC0415  (needs pymongo)

        with open_collection(uri, collection) as documents:
            yield documents
    except ClipqueueError as exc:
        fail(str(exc), exit_code)


def _make(collection: str, documents: Collection[Document], wanted: Iterable[Index]) -> None:
    """Make the indexes that are missing, and print each."""
    from producer.documents import indexes  # noqa: PLC0415  (needs pymongo)
    from producer.documents.connection import open_collection, store_errors  # noqa: PLC0415

    with store_errors(documents):
        found = indexes.find(documents, wanted)
    for one in (one for one, name in found.items() if name is not None):
        click.echo(_describe(one, found[one]))
    lacking = [one for one, name in found.items() if name is None]
    if lacking:
        click.echo(f"making {indexes.names(lacking)}; in a large collection this takes minutes")
        with open_collection(require_mongodb_uri("clipqueue index create"), collection, _BUILD_S) as patient:
            indexes.create(patient, lacking)
    for one in lacking:
        click.echo(f"made {one.name} on {', '.join(one.key)}: for {one.serves}")


def _show(documents: Collection[Document], wanted: Iterable[Index] | None = None) -> list[str]:
    """Print the indexes, and return the names of those that are missing."""
    from producer.documents import indexes  # noqa: PLC0415  (needs pymongo)
    from producer.documents.connection import store_errors  # noqa: PLC0415

    with store_errors(documents):
        found = indexes.find(documents, wanted or indexes.WANTED)
    for one, name in found.items():
        click.echo(_describe(one, name))
    return [one.name for one, name in found.items() if name is None]


def _describe(one: Index, name: str | None) -> str:
    if name is None:
        return f"{one.name}: missing, on {', '.join(one.key)}: for {one.serves}"
    return f"{name}: exists, on {', '.join(one.key)}: for {one.serves}"
