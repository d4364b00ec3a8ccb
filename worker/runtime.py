"""The composition root: chooses the one real implementation of each part and puts them together."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.batcher import Batcher
from worker.connections import BoundedResolve, Guard
from worker.decoder import Decoder
from worker.encoder import EncoderChoice, OpenClipEncoder
from worker.fetcher import FetchLimits, HttpFetcher
from worker.pipeline import Pipeline
from worker.retries import RetryPolicy
from worker.settings import parse_ports
from worker.store import MongoStore

if TYPE_CHECKING:
    from worker.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Runtime:
    """What the tasks of one worker process share.

    Attributes:
        concurrency: How many images may be in flight, so that the model can serve each in time.
    """

    pipeline: Pipeline
    store: MongoStore
    retries: RetryPolicy
    batcher: Batcher
    fetcher: HttpFetcher
    concurrency: int

    def close(self) -> None:
        """Let the model thread end, then close connections. Call when no task runs any more."""
        self.batcher.close()
        self.fetcher.close()
        self.store.close()


def build_runtime(settings: Settings) -> Runtime:
    """Load and warm the model, and build everything around it.

    Raises:
        ModelUnavailable: The model cannot be loaded.
        StoreUnavailable: MONGODB_URI or CLIPQUEUE_COLLECTION cannot be used.
    """
    store = MongoStore(settings.mongodb_uri, settings.collection)
    encoder = OpenClipEncoder(EncoderChoice.of(settings))
    per_image_s = encoder.warm_up(settings.batch_size)
    logger.info("model %s ready: %s", encoder.model_id, encoder.describe())
    concurrency = fitting_concurrency(per_image_s, settings.encode_s, settings.concurrency)
    fetcher = _build_fetcher(settings)
    decoder = Decoder(encoder.spec, max_pixels=settings.max_pixels, parallel=os.cpu_count() or 1)
    batcher = Batcher(
        encoder,
        max_batch_size=min(settings.batch_size, concurrency),
        max_waiting=concurrency,
        timeout_s=settings.encode_s,
    )
    pipeline = Pipeline(fetcher=fetcher, decoder=decoder, batcher=batcher, store=store, model=encoder.model_id)
    retries = RetryPolicy(settings.max_retries, settings.retry_base_s, settings.retry_cap_s)
    return Runtime(pipeline, store, retries, batcher, fetcher, concurrency)


def fitting_concurrency(per_image_s: float, encode_s: float, wanted: int) -> int:
    """Return how many images may be in flight so that the last of them waits at most half of `encode_s`.

    With more, images of a slow model would time out and be tried again, and none would ever be done.
    """
    fitting = max(1, min(wanted, int(encode_s / 2 / per_image_s)))
    if fitting < wanted:
        logger.warning(
            "the model takes %.2f s an image here: %d images in flight instead of %d (CLIPQUEUE_CONCURRENCY), so "
            "that each has its vector within CLIPQUEUE_ENCODE_S=%g",
            per_image_s,
            fitting,
            wanted,
            encode_s,
        )
    return fitting


def _build_fetcher(settings: Settings) -> HttpFetcher:
    limits = FetchLimits(
        settings.fetch_total_s, settings.fetch_connect_s, settings.fetch_read_s, settings.fetch_max_bytes
    )
    resolve = BoundedResolve(settings.concurrency)
    guard = Guard(parse_ports(settings.fetch_ports), settings.fetch_allow_networks, resolve)
    return HttpFetcher(guard, limits, connections=settings.concurrency)
