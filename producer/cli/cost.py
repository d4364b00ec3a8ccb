"""`clipqueue stats --cost`: what a thousand images take."""

from __future__ import annotations

import json
import time
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any

import click

from producer.cli.cost_output import cost_as_json, cost_as_text
from producer.client.broker import Broker
from producer.client.environment import mongodb_uri, redis_url_from_env
from producer.contract.errors import ConfigurationError
from producer.operations.cost import Counters, Meters, measure, redis_counters
from producer.operations.stats.reading import QueueReader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager


def show_cost(collection: str, prices: Mapping[str, float], wait: Callable[[], None], *, is_json: bool) -> None:
    """Measure and print the cost. Raises ClipqueueError.

    Args:
        collection: The collection of the documents. Without MONGODB_URI, the part of MongoDB is unknown.
        prices: The price of each thing that has one.
        wait: Waits as long as is measured.
        is_json: Print one JSON object.
    """
    with closing(Broker(redis_url_from_env())) as broker, _images(collection) as images:
        meters = Meters(QueueReader(broker), lambda: redis_counters(broker), *_mongo_meters(images))
        cost = measure(meters, wait)
    click.echo(json.dumps(cost_as_json(cost, prices)) if is_json else cost_as_text(cost, prices))


def _images(collection: str) -> AbstractContextManager[Any]:
    uri = mongodb_uri()
    if uri is None:
        return nullcontext()
    try:
        from producer.documents.connection import open_collection  # noqa: PLC0415  (needs pymongo)
    except ImportError:
        raise ConfigurationError(
            "clipqueue stats --cost needs clipqueue's extra 'mongo' for MongoDB; unset MONGODB_URI to leave it out"
        ) from None
    return open_collection(uri, collection)


def _mongo_meters(images: Any) -> tuple[Callable[[], Counters], Callable[[], float | None]]:
    if images is None:
        return lambda: Counters(time.monotonic()), lambda: None
    from producer.documents.sizes import network_bytes, stored_bytes  # noqa: PLC0415  (needs pymongo)

    return lambda: Counters(time.monotonic(), bytes=network_bytes(images)), lambda: stored_bytes(images)
