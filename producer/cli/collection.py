"""The collection that a command works on: its options, and how it is opened or the command ended."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from producer.cli.output import fail, fail_for_extra
from producer.client.environment import mongodb_uri
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


def uri_for(command: str) -> str:
    """Return MongoDB's URI; end the command if that or the extra `mongo` is missing."""
    try:
        import pymongo  # noqa: F401, PLC0415  (the base install has none)
    except ImportError:
        fail_for_extra(command, "mongo")
    uri = mongodb_uri()
    if uri is None:
        fail("MONGODB_URI is not set; it looks like mongodb://host:27017/database")
    return uri


@contextmanager
def opened_collection(command: str, collection: str) -> Iterator[ImageDocuments]:
    """Open the collection for a block; end the command if the extra `mongo` or the URI is missing.

    Raises:
        ConfigurationError: The URI or the collection's name cannot be used.
    """
    uri = uri_for(command)
    from producer.documents.documents import open_documents  # noqa: PLC0415  (needs pymongo)

    with open_documents(uri, collection) as documents:
        yield documents
