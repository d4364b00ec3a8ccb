"""The composition root: builds the parts of a worker process and connects them."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from producer.client.broker import Broker, UnsupportedRedis
from producer.contract.errors import BrokerUnavailable
from producer.contract.job import now_ms
from producer.contract.mongodb import names_database
from worker.broker.parking import Parking
from worker.broker.poison import Quarantine
from worker.broker.retries import RetryPolicy
from worker.decode.pillow import DecodeLimits
from worker.decode.pool import DecodePool, ProcessLimits
from worker.encode.batcher import Batcher
from worker.encode.cpus import usable_cpus
from worker.encode.load import Load
from worker.errors import BrokerUnsupported
from worker.fetch.dns import NameserverResolver, ThreadedResolver
from worker.fetch.fetcher import FetchRules, HttpFetcher
from worker.fetch.guard import Guard
from worker.fetch.host_limits import HostLimits
from worker.fetch.http import GuardedAdapter
from worker.lifecycle.heartbeat import Heartbeat
from worker.lifecycle.pulse import Pulse
from worker.lifecycle.watchdog import Watchdog
from worker.pipeline import Pipeline, StageLimits
from worker.selftest.guard import check_guard
from worker.settings import parse_ports
from worker.store.mongo import MongoStore
from worker.store.outage import ResilientStore

if TYPE_CHECKING:
    from producer.contract.fields import WorkerHeartbeat
    from worker.encode.open_clip import OpenClipEncoder
    from worker.fetch.dns import Resolve
    from worker.lifecycle.state import ProcessState
    from worker.settings import Settings
    from worker.spec import PreprocessSpec

logger = logging.getLogger(__name__)

# How long a job waits for a slot of its host before a requeue.
_WAIT_S = 1.0
_MAX_DECODE_PROCESSES = 8


@dataclass(frozen=True)
class Runtime:
    """What the tasks of one worker process share.

    Attributes:
        concurrency: Images in flight, as many as the model can serve in time.
    """

    pipeline: Pipeline
    store: ResilientStore
    retries: RetryPolicy
    batcher: Batcher
    fetcher: HttpFetcher
    decoder: DecodePool
    quarantine: Quarantine
    parking: Parking
    watchdog: Watchdog
    concurrency: int

    def close(self) -> None:
        """End threads and processes, then close connections. Call it when no task runs."""
        self.watchdog.close()
        self.batcher.close()
        self.fetcher.close()
        self.decoder.close()
        self.quarantine.close()
        self.store.close()


def build_runtime(settings: Settings, state: ProcessState, node: str) -> Runtime:
    """Load and warm the model, and build everything around it.

    Args:
        settings: The worker's settings.
        state: What the consumer and the tasks share.
        node: Celery's name of this process.

    Raises:
        StoreUnavailable: MONGODB_URI or CLIPQUEUE_COLLECTION is invalid.
        ModelUnavailable: The model cannot be loaded.
        DecoderUnavailable: No decoding process can be started.
        BrokerUnsupported: REDIS_URL names a Redis Cluster.
        UnusableLibrary: Downloads would bypass the address guard.
        HealthFileUnavailable: The health file cannot be written.
    """
    with closing(build_strict_fetcher(settings)) as strict:
        check_guard(strict.fetch)
    # Before the model, because it only takes a moment to reject an invalid URI. Importing torch and loading the model
    # take longer.
    mongo = MongoStore(settings.mongodb_uri, settings.collection, call_s=settings.store_s, upsert=settings.upsert)
    log_target(settings, mongo.database)
    broker = Broker(settings.redis_url)
    refuse_cluster(broker)
    pulse = Pulse(node, settings.health_file)
    encoder, load = _load_encoder(settings)
    decoder = build_decoder(settings, encoder.spec)
    decoder.warm_up()
    batcher = Batcher(
        encoder,
        max_batch_size=load.batch_size,
        max_waiting=load.concurrency,
        timeout_s=settings.encode_s,
        threads=encoder.threads,
    )
    store, fetcher = ResilientStore(mongo, state.outage, state.drain), build_fetcher(settings)
    pipeline = Pipeline(
        fetcher=fetcher,
        decoder=decoder,
        batcher=batcher,
        store=store,
        model=encoder.model_id,
        drain=state.drain,
        limits=StageLimits(settings.decode_s, settings.encode_s, settings.store_s),
    )
    template = _describe(settings, node, encoder, mongo.database, load.concurrency)
    heartbeat = Heartbeat(broker, state.consumption, state.outage, template)
    jobs_broker = Broker(settings.redis_url)  # not the heartbeat's, so that no job delays it
    store.ping()
    return Runtime(
        pipeline=pipeline,
        store=store,
        retries=RetryPolicy(settings.max_retries, settings.retry_base_s, settings.retry_cap_s),
        batcher=batcher,
        fetcher=fetcher,
        decoder=decoder,
        quarantine=Quarantine(jobs_broker, state.isolation, state.drain.raise_if_draining),
        parking=Parking(jobs_broker),
        # A job waits at most `encode_s` for its vector. Twice that leaves a margin.
        watchdog=Watchdog(heartbeat, batcher, pulse, state.loop, hang_s=2 * settings.encode_s, on_exit=decoder.close),
        concurrency=load.concurrency,
    )


def log_target(settings: Settings, database: str) -> None:
    """Log where the results go, and warn if that is only a default."""
    logger.info("results go to the collection %s of the MongoDB database %s", settings.collection, database)
    if not names_database(settings.mongodb_uri):
        logger.warning(
            "MONGODB_URI names no database, so the database is %s; to choose one, name it in the path: "
            "mongodb://host:27017/database",
            database,
        )


def refuse_cluster(broker: Broker) -> None:
    """Raise BrokerUnsupported if Redis answers and is a cluster. Without an answer, Celery waits for it later."""
    try:
        broker.refuse_cluster()
    except UnsupportedRedis as exc:
        raise BrokerUnsupported(str(exc)) from None
    except BrokerUnavailable:
        pass


def _load_encoder(settings: Settings) -> tuple[OpenClipEncoder, Load]:
    """Load and warm the model; return it with the images that it can serve in time."""
    from worker.encode.open_clip import EncoderConfig, OpenClipEncoder  # noqa: PLC0415  (imports torch)

    encoder = OpenClipEncoder(EncoderConfig.of(settings))
    per_image_s = encoder.warm_up()
    logger.info("model %s ready: %s", encoder.model_id, encoder.describe())
    return encoder, fit_load(settings, encoder, per_image_s)


def fit_load(settings: Settings, encoder: OpenClipEncoder, per_image_s: float) -> Load:
    """Return the load for a model that takes `per_image_s` seconds for each image of its largest batch."""
    load = Load.of(settings).fit(per_image_s, encoder.threads)
    if load.concurrency < settings.concurrency:
        logger.warning(
            "the model takes %.2f s per image here: %d images in flight instead of %d (CLIPQUEUE_CONCURRENCY), so that "
            "each gets its vector within CLIPQUEUE_ENCODE_S=%g",
            per_image_s,
            load.concurrency,
            settings.concurrency,
            settings.encode_s,
        )
    # Larger batches than those that the precision was measured with may be faster in another one.
    return replace(load, batch_size=min(load.batch_size, encoder.batch_size))


def _describe(
    settings: Settings, node: str, encoder: OpenClipEncoder, database: str, concurrency: int
) -> WorkerHeartbeat:
    return {
        "node": node,
        "version": version("clipqueue"),
        "model": encoder.model_id,
        "precision": encoder.precision,
        "device": encoder.device,
        "database": database,
        "collection": settings.collection,
        "concurrency": concurrency,
        "visibility_timeout_s": settings.visibility_timeout_s,
        "upsert": settings.upsert,
        "started_at": now_ms(),
        "at": now_ms(),
        "store_away": False,
    }


def build_fetcher(settings: Settings) -> HttpFetcher:
    """Return the fetcher for these settings."""
    rules = FetchRules(
        total_s=settings.fetch_total_s,
        connect_s=settings.fetch_connect_s,
        read_s=settings.fetch_read_s,
        max_bytes=settings.fetch_max_bytes,
        user_agent=settings.fetch_user_agent,
        allow_downgrade=settings.fetch_allow_downgrade,
    )
    guard = Guard(parse_ports(settings.fetch_ports), settings.fetch_allow_networks, _build_resolver(settings))
    adapter = GuardedAdapter(guard, settings.concurrency, settings.fetch_proxy)
    return HttpFetcher(adapter, HostLimits(settings.fetch_per_host, _WAIT_S), rules)


def build_strict_fetcher(settings: Settings) -> HttpFetcher:
    """Return the fetcher for these settings, but without their exceptions: it refuses what is not public on any port.

    Its timeouts are short, because a download that it refuses needs none.
    """
    strict = {"fetch_allow_networks": (), "fetch_ports": "1-65535", "fetch_connect_s": 1.0, "fetch_read_s": 1.0}
    return build_fetcher(settings.model_copy(update={**strict, "fetch_total_s": 2.0}))


def _build_resolver(settings: Settings) -> Resolve:
    if settings.fetch_nameservers:
        return NameserverResolver(settings.fetch_nameservers, settings.fetch_dns_s)
    # Twice as many threads as jobs, because a lookup that timed out keeps its thread until the system gives up.
    return ThreadedResolver(2 * settings.concurrency, settings.fetch_dns_s)


def build_decoder(settings: Settings, spec: PreprocessSpec) -> DecodePool:
    """Return the decoder for these settings and the model's input. Starts no process yet."""
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
