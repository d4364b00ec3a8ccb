"""The collection that a command reads: the options for its name and for the type of its ids, and its connection."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from producer.cli.output import without_extra
from producer.client.environment import mongodb_uri
from producer.contract.errors import ConfigurationError
from producer.contract.ids import ID_TYPES
from producer.contract.names import DEFAULT_COLLECTION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.documents.documents import ImageDocuments

collection_option = click.option(
    "--collection",
    envvar="CLIPQUEUE_COLLECTION",
    default=DEFAULT_COLLECTION,
    show_default=True,
    show_envvar=True,
    help="The collection of the documents.",
)


id_type_option = click.option(
    "--id-type",
    type=click.Choice(ID_TYPES),
    help="The type of the given ids; by default, each that an id may be the text of.",
)


def require_mongodb_uri(command: str) -> str:
    """Return the URI of MongoDB.

    Raises:
        ConfigurationError: It is not set, or the extra `mongo` is missing.
    """
    try:
        import pymongo  # noqa: F401, PLC0415  (not part of the base install)
    except ImportError:
        raise ConfigurationError(without_extra(command, "mongo")) from None
    uri = mongodb_uri()
    if uri is None:
        raise ConfigurationError("MONGODB_URI is not set; expected format: mongodb://host:27017/database")
    return uri


@contextmanager
def open_documents_for(command: str, collection: str, *, reads_all: bool = True) -> Iterator[ImageDocuments]:
    """Open the collection for a block.

    Args:
        command: The command, for messages.
        collection: The collection's name.
        reads_all: The command may have to read the whole collection; otherwise it waits 10 seconds for an answer.

    Raises:
        ConfigurationError: The URI is missing, or it or the collection's name is not valid; or the extra `mongo` is
            missing.
    """
    uri = require_mongodb_uri(command)
    from producer.documents.documents import connect, open_documents  # noqa: PLC0415  (needs pymongo)

    with open_documents(uri, collection) if reads_all else closing(connect(uri, collection)) as documents:
        yield documents
