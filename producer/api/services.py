"""What the routes use: built once from the settings, closed when the API stops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.api.checks import Checks
from producer.api.images import Images
from producer.api.model_names import ModelNames
from producer.api.overview import Overview
from producer.api.searching import Searching
from producer.api.vectors import Vectors
from producer.api.waiting import Waiting
from producer.client.broker import Broker
from producer.client.queries import QueryClient
from producer.documents.connection import connect_collection
from producer.documents.documents import ImageDocuments
from producer.search.settings import search_settings_from_env

if TYPE_CHECKING:
    from producer.api.settings import ApiSettings

_REDIS_S = 2.0


@dataclass(frozen=True)
class Services:
    """The parts of the API. `open_services` says what each connects to."""

    settings: ApiSettings
    broker: Broker
    queries: QueryClient
    names: ModelNames
    vectors: Vectors
    images: Images
    waiting: Waiting
    checks: Checks
    searching: Searching
    overview: Overview

    def close(self) -> None:
        """Close all connections."""
        self.waiting.close()
        self.images.close()
        self.searching.close()
        self.queries.close()
        self.broker.close()


def open_services(settings: ApiSettings) -> Services:
    """Return services that connect on first use.

    Raises:
        ConfigurationError: A URL, the collection's name or a setting of the search cannot be used.
    """
    broker = Broker(settings.redis_url, _REDIS_S)
    queries = QueryClient(broker, max_queued=settings.queries_max)
    names = ModelNames(settings.api_model, any_model=settings.api_any_model)
    vectors = Vectors(queries, names)
    collection, search = connect_collection(settings.mongodb_uri, settings.collection), search_settings_from_env()
    images, documents = Images(collection, broker), ImageDocuments(collection)
    searching = Searching.connect(settings.mongodb_uri, settings.collection, vectors, search)
    overview = Overview(broker, documents, search.filter_fields)
    waiting, checks = Waiting(images), Checks(vectors, images)
    return Services(settings, broker, queries, names, vectors, images, waiting, checks, searching, overview)
