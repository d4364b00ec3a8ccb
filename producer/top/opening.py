"""Makes the program with its connections."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from producer.client.broker import Broker
from producer.documents.connection import connect_collection
from producer.documents.failures import SOCKET_TIMEOUT_S
from producer.top import terminal
from producer.top.app import Top
from producer.top.failures import FailureReader
from producer.top.retry import Servers
from producer.top.state import State
from producer.top.text import Letters

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMEOUT_S = 5.0


@contextmanager
def open_top(redis_url: str, mongodb_uri: str | None, collection: str, every_s: float) -> Iterator[Top]:
    """Yield the program. Its connections are made when it first uses them.

    Args:
        redis_url: The queue.
        mongodb_uri: The documents; None to show no failures.
        collection: The collection of the documents.
        every_s: Seconds between two readings of the queue.

    Raises:
        ConfigurationError: A URL or the collection's name cannot be used.
    """
    letters = Letters(ascii_only=terminal.is_ascii_only(os.environ))
    with ExitStack() as opened:
        broker = opened.enter_context(closing(Broker(redis_url, _TIMEOUT_S)))
        state = State(letters.inert(broker.host), every_s, letters, terminal.has_colours(os.environ))
        if mongodb_uri is None:
            state.mongodb_problem = "MONGODB_URI is not set"
            yield Top(state, broker)
            return
        documents = connect_collection(mongodb_uri, collection, _TIMEOUT_S, SOCKET_TIMEOUT_S)
        opened.callback(documents.database.client.close)
        servers = Servers(redis_url, mongodb_uri, collection)
        yield Top(state, broker, FailureReader(documents), servers)
