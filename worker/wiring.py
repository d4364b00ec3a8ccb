"""The composition root: chooses the one real implementation of each part and puts them together."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from producer.client.broker import Broker
from producer.contract.job import now_ms
from worker.broker.poison import Quarantine
from worker.broker.retries import RetryPolicy
from worker.broker.transport import Channel
from worker.decode.pillow import DecodeLimits
from worker.decode.pool import DecodePool, ProcessLimits
from worker.encode.batcher import Batcher
from worker.encode.cpus import usable_cpus
from worker.encode.open_clip import EncoderConfig, OpenClipEncoder
from worker.fetch.dns import NameserverResolver, ThreadedResolver
from worker.fetch.fetcher import FetchRules, HttpFetcher
from worker.fetch.guard import Guard
from worker.fetch.host_limits import HostLimits
from worker.fetch.http import GuardedAdapter
from worker.lifecycle.drain import Drain
from worker.lifecycle.watchdog import Watch, Watched
from worker.pipeline import Pipeline, StageLimits
from worker.settings import parse_ports
from worker.store.mongo import MongoStore
from worker.store.outage import ResilientStore

if TYPE_CHECKING:
    from producer.contract.fields import WorkerHeartbeat
    from worker.fetch.dns import Resolve
    from worker.settings import Settings
    from worker.spec import PreprocessSpec

logger = logging.getLogger(__name__)

# What a job waits for another of its host, or another suspect, before it goes back to the queue.
_WAIT_S = 1.0
_MAX_DECODE_PROCESSES = 8


@dataclass(frozen=True)
class Runtime:
    """What the tasks of one worker process share.

    Attributes:
        concurrency: How many images may be in flight, so that the model can serve each in time.
    """

    pipeline: Pipeline
    store: ResilientStore
    retries: RetryPolicy
    batcher: Batcher
    fetcher: HttpFetcher
    decoder: DecodePool
    suspects: Quarantine
    drain: Drain
    watch: Watch
    concurrency: int

    def close(self) -> None:
        """Let the model thread end, then close connections. Call when no task runs any more."""
        self.watch.close()
        self.batcher.close()
        self.fetcher.close()
        self.decoder.close()
        self.suspects.close()
        self.store.close()


def build_runtime(settings: Settings, node: str) -> Runtime:
    """Load and warm the model, and build everything around it.

    Args:
        settings: What the environment says.
        node: Celery's name for this process.

    Raises:
        ModelUnavailable: The model cannot be loaded.
        DecoderUnavailable: No decoding process can be started.
        StoreUnavailable: MONGODB_URI or CLIPQUEUE_COLLECTION cannot be used.
    """
    mongo = MongoStore(settings.mongodb_uri, settings.collection, call_s=settings.store_s, upsert=settings.upsert)
    encoder = OpenClipEncoder(EncoderConfig.of(settings))
    per_image_s = encoder.warm_up(fit_batch_size(settings.batch_size, settings.concurrency, encoder.threads))
    logger.info("model %s ready: %s", encoder.model_id, encoder.describe())
    concurrency = fit_concurrency(per_image_s, settings.encode_s, settings.concurrency)
    decoder = build_decoder(settings, encoder.spec)
    decoder.warm_up()
    drain = Drain(settings.drain_s)
    batcher = Batcher(
        encoder,
        max_batch_size=fit_batch_size(settings.batch_size, concurrency, encoder.threads),
        max_waiting=concurrency,
        timeout_s=settings.encode_s,
        threads=encoder.threads,
    )
    store, fetcher = ResilientStore(mongo, drain), build_fetcher(settings)
    pipeline = Pipeline(
        fetcher=fetcher,
        decoder=decoder,
        batcher=batcher,
        store=store,
        model=encoder.model_id,
        drain=drain,
        limits=StageLimits(settings.decode_s, settings.encode_s, settings.store_s),
    )
    # Twice the deadline of one image: nobody waits for that batch any more.
    watched = Watched(store, batcher, drain, Channel.taker, Channel.holdings, 2 * settings.encode_s, decoder.close)
    about = _about(settings, node, encoder.model_id, mongo.database, concurrency)
    store.ping()
    return Runtime(
        pipeline=pipeline,
        store=store,
        retries=RetryPolicy(settings.max_retries, settings.retry_base_s, settings.retry_cap_s),
        batcher=batcher,
        fetcher=fetcher,
        decoder=decoder,
        suspects=Quarantine(Broker(settings.redis_url), wait_s=_WAIT_S),
        drain=drain,
        watch=Watch(Broker(settings.redis_url), watched, about),
        concurrency=concurrency,
    )


def _about(settings: Settings, node: str, model: str, database: str, concurrency: int) -> WorkerHeartbeat:
    return {
        "node": node,
        "version": version("clipqueue"),
        "model": model,
        "database": database,
        "collection": settings.collection,
        "concurrency": concurrency,
        "visibility_timeout_s": settings.visibility_timeout_s,
        "upsert": settings.upsert,
        "started_at": now_ms(),
        "at": now_ms(),
        "store_away": False,
    }


def fit_concurrency(per_image_s: float, encode_s: float, wanted: int) -> int:
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


def fit_batch_size(wanted: int, concurrency: int, threads: int) -> int:
    """Return the largest batch with which the model holds half of what is in flight; the rest is fetched meanwhile."""
    return max(1, min(wanted, concurrency // (2 * threads)))


def build_fetcher(settings: Settings) -> HttpFetcher:
    """Return the fetcher that the settings describe."""
    rules = FetchRules(
        total_s=settings.fetch_total_s,
        connect_s=settings.fetch_connect_s,
        read_s=settings.fetch_read_s,
        max_bytes=settings.fetch_max_bytes,
        user_agent=settings.fetch_user_agent,
        allow_downgrade=settings.fetch_allow_downgrade,
    )
    guard = Guard(parse_ports(settings.fetch_ports), settings.fetch_allow_networks, _build_resolve(settings))
    adapter = GuardedAdapter(guard, settings.concurrency, settings.fetch_proxy)
    return HttpFetcher(adapter, HostLimits(settings.fetch_per_host, _WAIT_S), rules)


def _build_resolve(settings: Settings) -> Resolve:
    if settings.fetch_nameservers:
        return NameserverResolver(settings.fetch_nameservers, settings.fetch_dns_s)
    # Twice as many threads as jobs: a lookup that nobody waits for any more goes on until the system gives up.
    return ThreadedResolver(2 * settings.concurrency, settings.fetch_dns_s)


def build_decoder(settings: Settings, spec: PreprocessSpec) -> DecodePool:
    """Return the decoder that the settings describe, for a model's input. Starts no process yet."""
    limits = DecodeLimits(
        max_pixels=settings.max_pixels,
        max_side=settings.max_side,
        max_frames=settings.max_frames,
        max_scans=settings.max_scans,
        allow_truncated=settings.allow_truncated,
    )
    cost = ProcessLimits(settings.decode_cpu_s, settings.decode_memory_bytes, settings.decode_s)
    processes = settings.decode_processes or min(_MAX_DECODE_PROCESSES, usable_cpus())
    return DecodePool(spec, limits, cost, processes=processes)
