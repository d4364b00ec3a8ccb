"""A query lane in this process, with the fake encoder and without Celery, on a Redis that no worker uses."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest

from producer.client.broker import Broker
from producer.client.queries import QueryClient
from tests.support.fake_encoder import EncoderConfig, OpenClipEncoder
from worker.broker.deliveries import ConsumerState
from worker.encode.batcher import Batcher
from worker.encode.slack import Slack
from worker.lifecycle.drain import Drain
from worker.lifecycle.heartbeat import Heartbeat
from worker.queries.inbox import Inbox
from worker.queries.lane import QueryLane
from worker.queries.pictures import PictureAnswers, PictureStages
from worker.queries.texts import TextAnswers
from worker.settings import Settings
from worker.store.mongo import MongoStore
from worker.store.outage import Outage
from worker.wiring import build_decoder, build_fetcher

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import redis
    from numpy.typing import NDArray

    from producer.local.stack import Stack
    from worker.decode.pool import DecodePool
    from worker.encode.tokens import Tokens

MODEL = "fake/model"
UNREADABLE = "a text that the tokenizer fails on"
SETTINGS = {"fetch_allow_networks": "127.0.0.0/8", "fetch_ports": "1-65535"}


class Gated:
    """An encoder, of texts or of images, whose forward passes wait while the gate is closed."""

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[int] = []
        self.inputs: list[Any] = []
        self.error: Exception | None = None

    def encode(self, batch: Any, /) -> NDArray[np.float32]:
        self.inputs.append(batch)
        self.batches.append(len(batch))
        assert self.gate.wait(60)
        if self.error:
            raise self.error
        vectors: NDArray[np.float32] = self._encoder.encode(batch)
        return vectors

    def tokenize(self, text: str) -> Tokens:
        if text == UNREADABLE:
            raise KeyError(text)
        tokens: Tokens = self._encoder.tokenize(text)
        return tokens

    @property
    def context_length(self) -> int:
        return int(self._encoder.context_length)


class Worker:
    """The parts of a worker that answer queries, of which the drain and the encoders are the test's."""

    def __init__(self, redis_url: str, model: str, decoder: DecodePool, mongodb_uri: str) -> None:
        encoder = OpenClipEncoder(EncoderConfig(model))
        self.texts, self.images = Gated(encoder.texts), Gated(encoder)
        self.drain, slack = Drain(30.0), Slack(1)
        self._on_exit = ExitStack()
        self.batcher = Batcher(self.images, max_batch_size=8, max_waiting=64, timeout_s=20, slack=slack)
        self._on_exit.callback(self.batcher.close)
        fetcher = self._on_exit.enter_context(closing(build_fetcher(Settings.model_validate(SETTINGS))))
        store = self._on_exit.enter_context(closing(MongoStore(mongodb_uri, "images", call_s=10.0)))
        self.inbox = Inbox(Broker(redis_url, 10.0), model, f"process-{id(self)}", lambda: self.drain.is_draining)
        stages = PictureStages(fetcher, decoder, self.batcher, store, lambda: None)
        self.answers = TextAnswers(self.texts, model)
        pictures = PictureAnswers(self.inbox, stages, model)
        self.lane = QueryLane(self.inbox, self.answers, pictures, model=model, slack=slack, drain=self.drain)
        template: Any = {"node": "a", "model": model, "dim": 48, "context_length": 16, "visibility_timeout_s": 60}
        self.heartbeat = Heartbeat(
            Broker(redis_url), ConsumerState(), Outage(), template, is_answering=lambda: self.lane.is_answering
        )
        self._on_exit.callback(self.heartbeat.close)
        self._on_exit.callback(self.lane.close)
        self.lane.start()
        self.heartbeat.beat()

    def close(self) -> None:
        self.texts.gate.set()
        self.images.gate.set()
        self._on_exit.close()


StartQueries = Callable[..., Worker]


@pytest.fixture(scope="module")
def decoder() -> Iterator[DecodePool]:
    with closing(build_decoder(Settings(decode_processes=2), OpenClipEncoder.spec)) as decoder:
        yield decoder


@pytest.fixture
def start_queries(redis_url: str, queue: redis.Redis, decoder: DecodePool, stack: Stack) -> Iterator[StartQueries]:
    """A function that starts a lane for a model. The lanes end after the test."""
    with ExitStack() as workers:

        def start(model: str = MODEL) -> Worker:
            return workers.enter_context(closing(Worker(redis_url, model, decoder, stack.mongodb_uri)))

        yield start


@pytest.fixture
def worker(start_queries: StartQueries) -> Worker:
    return start_queries()


@pytest.fixture
def asker(redis_url: str) -> Iterator[QueryClient]:
    with closing(Broker(redis_url)) as broker, closing(QueryClient(broker)) as asker:
        yield asker
