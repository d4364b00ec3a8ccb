"""The part of `clipqueue index` on MongoDB's vector search index."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import click

from producer.client.broker import Broker
from producer.client.environment import redis_url_from_env
from producer.client.queries import read_query_models
from producer.contract.errors import BrokerUnavailable, ConfigurationError
from producer.search.index import SearchIndexes
from producer.search.settings import search_settings_from_env

if TYPE_CHECKING:
    from pymongo.collection import Collection

    from producer.contract.records import Document
    from producer.search.index import VectorIndex
    from producer.search.settings import SearchSettings

_POLL_S = 2.0


def create(documents: Collection[Document], dim: int | None, quantization: str, *, until_ready: bool) -> None:
    """Make the index, or change it, and print that.

    Raises:
        NoVectorSearch: The server has no vector search.
        ConfigurationError: The length of the vectors is unknown.
        StoreUnavailable: MongoDB did not answer, or refused the command.
    """
    settings = search_settings_from_env()
    indexes = SearchIndexes(documents, settings)
    found = indexes.find()
    if found is None:
        indexes.check_server()  # the embedded MongoDB would misread the command that makes an index
    length = dim or _find_dim(documents)
    if found is None:
        indexes.create(length, settings.filter_fields, quantization)
        click.echo(f"creating the index {settings.index!r} for vectors of length {length}")
    elif _is_as_wanted(found, length, settings, quantization):
        click.echo(f"the index {settings.index!r} exists already")
    else:
        indexes.update(length, settings.filter_fields, quantization)
        click.echo(f"changing the index {settings.index!r}, for vectors of length {length}")
    if until_ready:
        click.echo(_describe(_wait(indexes)))


def show(documents: Collection[Document]) -> str | None:
    """Print the index, and return what is wrong with it. Raises what `create` does."""
    settings = search_settings_from_env()
    indexes = SearchIndexes(documents, settings)
    found = indexes.find()
    if found is None:
        indexes.check_server()
        return f"there is no index {settings.index!r}; make it with `clipqueue index create`"
    click.echo(_describe(found))
    missing = found.missing_fields(settings.filter_fields)
    if not missing:
        return None
    return f"the index lacks the filter fields {', '.join(missing)}: run `clipqueue index create` to add them"


def drop(documents: Collection[Document]) -> str:
    """Drop the index and return its name. Raises what `create` does, and ConfigurationError if there is none."""
    settings = search_settings_from_env()
    indexes = SearchIndexes(documents, settings)
    if indexes.find() is None:
        indexes.check_server()
        raise ConfigurationError(f"there is no index {settings.index!r}")
    indexes.drop()
    return settings.index


def _find_dim(documents: Collection[Document]) -> int:
    """Return the length of the vectors of the live workers' model, else of those in the collection."""
    lengths = _workers_dims() or _stored_dims(documents)
    if len(lengths) > 1:
        raise ConfigurationError(f"there are vectors of several lengths, {sorted(lengths)}: choose one with --dim")
    if not lengths:
        raise ConfigurationError(
            "the length of the vectors is unknown: no live worker reports it, and no document has a vector; set --dim"
        )
    return lengths.pop()


def _stored_dims(documents: Collection[Document]) -> set[int]:
    try:
        from producer.search.reader import VectorReader  # noqa: PLC0415  (needs numpy)
    except ImportError:
        raise ConfigurationError(
            "no live worker reports the length of the vectors: set --dim, or install clipqueue's extra 'search', which "
            "reads it from the documents"
        ) from None
    reader = VectorReader(documents, ())
    return {dim for model in reader.models() if (dim := reader.dim(model)) is not None}


def _workers_dims() -> set[int]:
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
