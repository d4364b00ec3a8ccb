"""The composition root: builds the parts of a worker process and connects them."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from producer.client.broker import Broker, UnsupportedRedis
from producer.contract.errors import BrokerUnavailable
from producer.contract.job import now_ms
from producer.contract.mongodb import names_database
from worker.broker.parking import Parking
from worker.broker.poison import Quarantine
from worker.broker.retries import RetryPolicy
from worker.decode.limits import DecodeLimits
from worker.decode.pool import DecodePool, ProcessLimits
from worker.encode.batcher import Batcher
from worker.encode.cpus import usable_cpus
from worker.encode.later import LaterEncoder
from worker.encode.load import Load
from worker.encode.slack import Slack
from worker.errors import BrokerUnsupported, ModelUnavailable
from worker.fetch.dns import NameserverResolver, ThreadedResolver
from worker.fetch.fetcher import FetchRules, HttpFetcher
from worker.fetch.guard import Guard
from worker.fetch.host_headers import HostHeaders
from worker.fetch.host_limits import HostLimits
from worker.fetch.http import GuardedAdapter
from worker.lifecycle.garbage import nothing_is_garbage
from worker.lifecycle.heartbeat import Heartbeat
from worker.lifecycle.pulse import Pulse
from worker.lifecycle.watchdog import Watchdog
from worker.lifecycle.watched import Watched
from worker.pipeline import Pipeline, StageLimits
from worker.queries.inbox import WAIT_S, Inbox
from worker.queries.lane import QueryLane
from worker.queries.pictures import PictureAnswers, PictureStages
from worker.queries.texts import TextAnswers
from worker.selftest.guard import check_guard
from worker.settings import parse_ports
from worker.store.mongo import MongoStore
from worker.store.outage import ResilientStore
from worker.telemetry.figures import Figures
from worker.telemetry.job_log import JobLog
from worker.telemetry.readings import Readings
from worker.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.contract.fields import WorkerHeartbeat
    from worker.encode.batcher import Encoder
    from worker.encode.open_clip import OpenClipEncoder
    from worker.encode.tokens import TextEncoder
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
        lane: Answers queries; None if the worker does not.
        notes_ends: Whether each job that ends leaves an event for webhooks.
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
    telemetry: Telemetry
    concurrency: int
    lane: QueryLane | None = None
    notes_ends: bool = False

    def start(self) -> None:
        """Show that the worker lives, and answer queries."""
        if self.lane:
            self.lane.start()
        self.watchdog.start()

    def close(self) -> None:
        """End threads and processes, then close connections. Call it when no task runs."""
        if self.lane:
            self.lane.close()
        self.watchdog.close()
        self.batcher.close()
        self.fetcher.close()
        self.decoder.close()
        self.quarantine.close()
        self.store.close()
        self.telemetry.close()


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
    mongo = MongoStore(
        settings.mongodb_uri,
        settings.collection,
        call_s=settings.store_s,
        upsert=settings.upsert,
        contact=state.mongo,
    )
    log_target(settings, mongo.database)
    broker = Broker(settings.redis_url)
    refuse_cluster(broker)
    pulse, figures = Pulse(node, settings.health_file), Figures()
    with nothing_is_garbage():
        model = _load_model(settings) if settings.serves_images else _load_texts(settings)
    encoder, load = model.encoder, model.load
    decoder = build_decoder(settings, encoder.spec)
    batcher = Batcher(
        model.images,
        max_batch_size=load.batch_size,
        max_waiting=load.concurrency,
        timeout_s=settings.encode_s,
        threads=encoder.threads,
        slack=model.slack,
        note_call=figures.model_called,
    )
    store = ResilientStore(mongo, state.outage, state.drain, state.mongo)
    fetcher = build_fetcher(settings, figures.fetched)
    pipeline = Pipeline(
        fetcher=fetcher,
        decoder=decoder,
        batcher=batcher,
        store=store,
        model=encoder.model_id,
        drain=state.drain,
        limits=StageLimits(settings.decode_s, settings.encode_s, settings.store_s),
    )
    stages = PictureStages(fetcher, decoder, batcher, store, model.prepare)
    lane = _build_lane(settings, state, model, stages, figures)
    template = _describe(settings, node, model, mongo.database)
    telemetry = Telemetry(figures, _build_readings(state, decoder), template, JobLog(settings.log_jobs))
    is_answering: Callable[[], bool] = (lambda: lane.is_answering) if lane else lambda: False
    heartbeat = Heartbeat(
        broker, state.consumption, state.outage, template, is_answering=is_answering, stats=telemetry.stats
    )
    watched = Watched(
        state,
        batcher,
        decoder,
        mongo,
        store,
        lane,
        decode_s=settings.decode_s,
        encode_s=settings.encode_s,
        job_s=settings.longest_job_s,
        visibility_timeout_s=settings.visibility_timeout_s,
    )
    jobs_broker = Broker(settings.redis_url)  # not the heartbeat's, so that no job delays it
    if settings.serves_images:
        decoder.warm_up()
        store.ping()
    return Runtime(
        pipeline=pipeline,
        store=store,
        retries=RetryPolicy(
            settings.max_retries, settings.retry_base_s, settings.retry_cap_s, settings.retry_after_max_s
        ),
        batcher=batcher,
        fetcher=fetcher,
        decoder=decoder,
        quarantine=Quarantine(jobs_broker, state.isolation, state.drain.raise_if_draining),
        parking=Parking(jobs_broker),
        watchdog=Watchdog(
            heartbeat,
            watched.parts(),
            pulse,
            state.condition,
            state.redis,
            describe_jobs=lambda: _describe_jobs(settings, state),
            on_exit=partial(_leave, telemetry, decoder),
        ),
        telemetry=telemetry,
        concurrency=load.concurrency if settings.serves_images else 1,
        lane=lane,
        notes_ends=bool(settings.webhook_url),
    )


def _leave(telemetry: Telemetry, decoder: DecodePool) -> None:
    """Do what the end of the process would not do."""
    telemetry.close()
    decoder.close()


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
    """Raise BrokerUnsupported if Redis answers and is a cluster. Without an answer, Celery waits for it later.

    Celery's log repeats the library's error; this one says what to do.
    """
    try:
        broker.refuse_cluster()
    except UnsupportedRedis as exc:
        raise BrokerUnsupported(str(exc)) from None
    except BrokerUnavailable as exc:
        logger.error("%s; the worker starts, and tries again", exc)  # noqa: TRY400  (no traceback)


@dataclass(frozen=True)
class _Model:
    """A model that is loaded and warm.

    Attributes:
        encoder: The model, or its text tower alone.
        images: Encodes images: the same encoder, or one that is loaded with the first picture.
        texts: Encodes texts; None if no query is answered.
        load: The images that it can serve in time.
        slack: Limits the batches while queries arrive.
        prepare: Loads what the first picture needs.
    """

    encoder: OpenClipEncoder
    images: Encoder
    texts: TextEncoder | None
    load: Load
    slack: Slack
    prepare: Callable[[], object] = lambda: None


def _load_model(settings: Settings) -> _Model:
    from worker.encode.open_clip import EncoderConfig, OpenClipEncoder  # noqa: PLC0415  (imports torch)

    encoder = OpenClipEncoder(EncoderConfig.of(settings))
    per_image_s = encoder.warm_up()
    logger.info("model %s ready: %s", encoder.model_id, encoder.describe())
    texts: TextEncoder | None = None
    if settings.serves_queries:
        try:
            texts = encoder.texts
        except ModelUnavailable as exc:
            logger.warning("this worker answers no queries: %s", exc)
    slack = Slack.of(settings.query_slack_ms / 1e3, per_image_s)
    return _Model(encoder, encoder, texts, fit_load(settings, encoder, per_image_s), slack)


def _load_texts(settings: Settings) -> _Model:
    """Load the text tower alone."""
    from worker.encode.open_clip import EncoderConfig, OpenClipEncoder  # noqa: PLC0415  (imports torch)

    def load_images() -> OpenClipEncoder:
        encoder = OpenClipEncoder(EncoderConfig.of(settings, "image"))
        encoder.warm_up()
        logger.info("image tower ready: %s", encoder.describe())
        return encoder

    encoder, later = OpenClipEncoder(EncoderConfig.of(settings, "text")), LaterEncoder(load_images)
    texts = encoder.texts
    logger.info("text tower of the model %s ready: %s", encoder.model_id, encoder.describe())
    return _Model(encoder, later, texts, Load.of(settings), Slack(), later.load)


def _build_readings(state: ProcessState, decoder: DecodePool) -> Readings:
    deliveries = state.consumption.deliveries
    return Readings(
        in_flight=lambda: deliveries.running_count,
        redelivered=lambda: deliveries.redelivered,
        decode_pids=lambda: decoder.pids,
        decode_lost=lambda: decoder.lost,
        is_store_away=lambda: state.outage.is_active,
    )


def _build_lane(
    settings: Settings, state: ProcessState, model: _Model, stages: PictureStages, figures: Figures
) -> QueryLane | None:
    if model.texts is None:
        return None
    model_id = model.encoder.model_id
    broker = Broker(settings.redis_url, 2 * WAIT_S)
    inbox = Inbox(broker, model_id, state.consumption.process, lambda: state.drain.is_draining, figures.query_ended)
    texts, pictures = TextAnswers(model.texts, model_id), PictureAnswers(inbox, stages, model_id)
    return QueryLane(inbox, texts, pictures, model=model_id, slack=model.slack, drain=state.drain, redis=state.redis)


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


def _describe(settings: Settings, node: str, model: _Model, database: str) -> WorkerHeartbeat:
    encoder = model.encoder
    heartbeat: WorkerHeartbeat = {
        "node": node,
        "version": version("clipqueue"),
        "model": encoder.model_id,
        "precision": encoder.precision,
        "device": encoder.device,
        "database": database,
        "collection": settings.collection,
        "concurrency": model.load.concurrency,
        "visibility_timeout_s": settings.visibility_timeout_s,
        "upsert": settings.upsert,
        "started_at": now_ms(),
        "at": now_ms(),
        "store_away": False,
        "images": settings.serves_images,
        "queries": model.texts is not None,
        "dim": encoder.dim,
        "batch_size": model.load.batch_size,
        "model_threads": encoder.threads,
    }
    if model.texts is not None:
        heartbeat["context_length"] = model.texts.context_length
    return heartbeat


def _describe_jobs(settings: Settings, state: ProcessState) -> str:
    """Return what happens to the jobs of this process if it ends now."""
    count, within_s = state.consumption.deliveries.held, settings.visibility_timeout_s + settings.restore_interval_s
    return f"the {count} jobs that it holds are redelivered within {within_s} s" if count else "it holds no job"


def build_fetcher(settings: Settings, note_bytes: Callable[[int], object] = lambda _: None) -> HttpFetcher:
    """Return the fetcher for these settings. `note_bytes` counts what it downloads."""
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
    limits, headers = HostLimits(settings.fetch_per_host, _WAIT_S), HostHeaders(settings.header_lines)
    return HttpFetcher(adapter, limits, rules, headers, note_bytes)


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
