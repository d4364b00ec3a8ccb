"""`clipqueue index`: makes, shows and drops MongoDB's vector search index."""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from producer.cli.collection import collection_option, require_mongodb_uri
from producer.cli.output import CANNOT_TELL, fail, fail_without_extra
from producer.contract.errors import BrokerUnavailable, ClipqueueError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.collection import Collection

    from producer.contract.records import Document
    from producer.search.index import SearchIndexes, VectorIndex
    from producer.search.settings import SearchSettings

_POLL_S = 2.0
_MAX_DIM = 8192


@click.group()
def index() -> None:
    """Make, show or drop the index for MongoDB's vector search.

    It needs MongoDB Atlas, or mongodb-atlas-local. On other servers, searches compare all vectors in memory.
    CLIPQUEUE_SEARCH_INDEX names the index; the default is clipqueue.
    """


@index.command()
@click.option("--wait", "until_ready", is_flag=True, help="Wait until searches can use the index.")
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
@collection_option
def create(dim: int | None, quantization: str, collection: str, *, until_ready: bool) -> None:
    """Make the index for the vectors and the fields in CLIPQUEUE_FILTER_FIELDS.

    If there is an index with another definition, MongoDB builds the new one and uses the old one meanwhile.
    """
    with _open("create", collection) as (documents, indexes, settings):
        length = dim or _find_dim(documents)
        found = indexes.find()
        if found is None:
            indexes.check_server(length)  # the embedded MongoDB would misread the command that makes an index
            indexes.create(length, settings.filter_fields, quantization)
            click.echo(f"creating the index {settings.index!r} for vectors of length {length}")
        elif _is_as_wanted(found, length, settings, quantization):
            click.echo(f"the index {settings.index!r} exists already")
        else:
            indexes.update(length, settings.filter_fields, quantization)
            click.echo(f"changing the index {settings.index!r}, for vectors of length {length}")
        if until_ready:
            click.echo(_describe(_wait(indexes)))


@index.command()
@collection_option
def show(collection: str) -> None:
    """Show the index and its state. The exit code is 1 if there is none, and 3 if MongoDB does not tell."""
    with _open("show", collection, CANNOT_TELL) as (_, indexes, settings):
        found = indexes.find()
        if found is None:
            fail(f"there is no index {settings.index!r}; make it with `clipqueue index create`")
        click.echo(_describe(found))
        missing = found.missing_fields(settings.filter_fields)
    if missing:
        fail(f"the index lacks the filter fields {', '.join(missing)}: run `clipqueue index create` to add them")


@index.command()
@collection_option
def drop(collection: str) -> None:
    """Drop the index. The vectors stay in the documents."""
    with _open("drop", collection) as (_, indexes, settings):
        if indexes.find() is None:
            fail(f"there is no index {settings.index!r}")
        indexes.drop()
        click.echo(f"dropped the index {settings.index!r}")


@contextmanager
def _open(
    command: str, collection: str, exit_code: int = 1
) -> Iterator[tuple[Collection[Document], SearchIndexes, SearchSettings]]:
    """Yield the collection, its search indexes and the settings; print an error in the block, and exit."""
    try:
        from producer.documents.connection import open_collection  # noqa: PLC0415  (needs pymongo)
        from producer.search.index import SearchIndexes  # noqa: PLC0415
        from producer.search.settings import search_settings_from_env  # noqa: PLC0415
    except ImportError:
        fail_without_extra(f"clipqueue index {command}", "search", exit_code)
    try:
        settings = search_settings_from_env()
        with open_collection(require_mongodb_uri(f"clipqueue index {command}"), collection) as documents:
            yield documents, SearchIndexes(documents, settings), settings
    except ClipqueueError as exc:
        fail(str(exc), exit_code)


def _find_dim(documents: Collection[Document]) -> int:
    """Return the length of the vectors of the live workers' model, else of those in the collection."""
    from producer.search.reader import VectorReader  # noqa: PLC0415  (needs pymongo)

    lengths = _workers_dims()
    if not lengths:
        reader = VectorReader(documents, ())
        lengths = {dim for model in reader.models() if (dim := reader.dim(model)) is not None}
    if len(lengths) > 1:
        raise ConfigurationError(f"there are vectors of several lengths, {sorted(lengths)}: choose one with --dim")
    if not lengths:
        raise ConfigurationError(
            "the length of the vectors is unknown: no live worker reports it, and no document has a vector; set --dim"
        )
    return lengths.pop()


def _workers_dims() -> set[int]:
    from producer.client.broker import Broker  # noqa: PLC0415  (only this command of the group needs Redis)
    from producer.client.environment import redis_url_from_env  # noqa: PLC0415
    from producer.client.queries import read_query_models  # noqa: PLC0415

    try:
        with (
            closing(Broker(redis_url_from_env())) as broker,
            broker.commands("did not return the workers that answer queries") as redis,
        ):
            return {model.dim for model in read_query_models(redis)}
    except ConfigurationError:  # REDIS_URL is not set
        return set()
    except BrokerUnavailable as exc:
        click.echo(f"{exc}; the length of the vectors is read from the documents", err=True)
        return set()


def _is_as_wanted(found: VectorIndex, dim: int, settings: SearchSettings, quantization: str) -> bool:
    is_same = (found.dim, found.similarity, found.quantization) == (dim, "cosine", quantization)
    return is_same and not found.missing_fields(settings.filter_fields)


def _wait(indexes: SearchIndexes) -> VectorIndex:
    while True:
        found = indexes.find()
        if found is None or found.status == "FAILED":
            raise ConfigurationError("MongoDB could not build the index; Atlas's page of the index says why")
        if found.is_queryable and found.status == "READY":
            return found
        time.sleep(_POLL_S)


def _describe(found: VectorIndex) -> str:
    state = "searches use it" if found.is_queryable else "searches cannot use it yet"
    return "\n".join(
        (
            f"{found.name}: {found.status} ({state})",
            f"vectors of length {found.dim}, compared by {found.similarity}, quantization {found.quantization}",
            f"filter fields: {', '.join(found.filter_fields)}",
        )
    )
