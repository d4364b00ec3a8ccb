"""The client that asks queries, on a real Redis; the test itself answers as a worker would."""

from __future__ import annotations

import asyncio
import json
import os
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from producer.client.broker import Broker
from producer.client.client import AsyncEmbeddingClient, EmbeddingClient
from producer.client.queries import QueryClient, QueryModel, read_query_models
from producer.contract.errors import BrokerUnavailable, EmbeddingFailed, InvalidJob, NoWorker, Overloaded, QueryTimeout
from producer.contract.names import HEARTBEAT_TTL_S, IMAGE_SUFFIX, QUERIES, QUERY_KEY, QUERY_WORKERS
from producer.contract.queries import Answer, Query, answer_json, error_json, read_request
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

MODEL = "model/a"
LONG_S = 30.0


def sign_on(queue: redis.Redis, node: str = "a", model: str = MODEL, age_s: float = 0) -> None:
    worker = json.dumps({"node": node, "model": model, "dim": 1, "context_length": 77})
    queue.zadd(QUERY_WORKERS, {worker: time.time() - age_s})


class HandWorker:
    """Takes queries one at a time, as slowly as the test likes."""

    def __init__(self, queue: redis.Redis, name: str = QUERIES) -> None:
        self._queue = queue
        self._name = name

    def take(self) -> Any:
        """Return the next request."""
        popped: Any = self._queue.brpop([self._name], 30)
        query_id = popped[1].decode()
        raw: Any = self._queue.getdel(QUERY_KEY + query_id)
        return read_request(query_id, raw)

    def answer(self, request: Any, value: float) -> None:
        self._queue.rpush(request.reply, answer_json(request.id, Answer(MODEL, 1, 3, struct.pack("<f", value))))

    def serve(self, count: int) -> None:
        """Answer each text with its length."""
        for _ in range(count):
            request = self.take()
            self.answer(request, len(request.query.words))


@pytest.fixture
def worker(queue: redis.Redis) -> HandWorker:
    sign_on(queue)
    return HandWorker(queue)


@pytest.fixture
def client(redis_url: str) -> Iterator[QueryClient]:
    with closing(Broker(redis_url)) as broker, closing(QueryClient(broker, max_queued=3)) as client:
        yield client


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as pool:
        yield pool


def test_many_threads_get_their_own_answers(redis_url: str, worker: HandWorker, pool: ThreadPoolExecutor) -> None:
    with EmbeddingClient(redis_url) as client:
        texts = ["x" * length for length in range(1, 201)]
        pool.submit(worker.serve, 200)
        assert list(pool.map(lambda text: client.embed_text(text, timeout_s=LONG_S), texts)) == [
            [float(len(text))] for text in texts
        ]


def test_several_event_loops_share_a_client(redis_url: str, worker: HandWorker, pool: ThreadPoolExecutor) -> None:
    client = AsyncEmbeddingClient(redis_url)

    async def ask_some() -> list[list[float]]:
        return await asyncio.gather(*(client.embed_text("x" * n, timeout_s=LONG_S) for n in range(1, 9)))

    pool.submit(worker.serve, 24)
    loops = [pool.submit(asyncio.run, ask_some()) for _ in range(3)]
    assert [loop.result() for loop in loops] == [[[float(n)] for n in range(1, 9)]] * 3
    asyncio.run(client.close())


def test_a_picture_travels_as_bytes_beside_its_request(
    redis_url: str, queue: redis.Redis, worker: HandWorker, pool: ThreadPoolExecutor
) -> None:
    with EmbeddingClient(redis_url) as client:
        answer = pool.submit(client.embed_image, b"bytes", timeout_s=LONG_S, model=MODEL)
        request = HandWorker(queue, f"{QUERIES}:{MODEL}").take()
        assert request.query.model == MODEL
        assert queue.get(QUERY_KEY + request.id + IMAGE_SUFFIX) == b"bytes"
        worker.answer(request, 0.5)
        assert answer.result() == [0.5]


def test_a_deadline_is_kept_by_redis_and_a_late_answer_is_ignored(
    queue: redis.Redis, worker: HandWorker, client: QueryClient
) -> None:
    with pytest.raises(QueryTimeout, match=r"within 0\.3 s"):
        client.ask(Query.text("a"), 0.3)
    wait_for(lambda: not queue.keys(f"{QUERY_KEY}*"), "the request to expire")
    assert not client._waiting


def test_an_error_of_the_worker_is_raised(
    queue: redis.Redis, worker: HandWorker, client: QueryClient, pool: ThreadPoolExecutor
) -> None:
    answer = pool.submit(client.ask, Query.image_url("http://host/a.jpg"), LONG_S)
    request = worker.take()
    queue.rpush(request.reply, b"not JSON", error_json(request.id, "http_404", "fetch", "it answered 404"))
    with pytest.raises(EmbeddingFailed, match="it answered 404") as raised:
        answer.result()
    assert (raised.value.code, raised.value.stage) == ("http_404", "fetch")


def test_no_worker_is_said_at_once(queue: redis.Redis, client: QueryClient) -> None:
    """A dead one, or one that is of another kind, does not count."""
    sign_on(queue, age_s=HEARTBEAT_TTL_S + 2)
    queue.zadd(QUERY_WORKERS, {"[]": time.time()})
    with pytest.raises(NoWorker, match="CLIPQUEUE_SERVE"):
        client.ask(Query.text("a"), LONG_S)
    assert not queue.exists(QUERIES)


def test_the_wrong_model_is_said_at_once(queue: redis.Redis, worker: HandWorker, client: QueryClient) -> None:
    with pytest.raises(NoWorker, match="with the model model/b; the workers run model/a"):
        client.ask(Query.text("a", "model/b"), LONG_S)


def test_models_are_counted_and_sorted(queue: redis.Redis) -> None:
    for node, model in (("a", "m2"), ("b", "m1"), ("c", "m2")):
        sign_on(queue, node, model)
    assert read_query_models(queue) == [QueryModel("m1", 1, 77, 1), QueryModel("m2", 1, 77, 2)]


def test_a_full_list_refuses_the_query_and_keeps_nothing_of_it(
    queue: redis.Redis, worker: HandWorker, client: QueryClient
) -> None:
    queue.lpush(QUERIES, "1", "2", "3")
    with pytest.raises(Overloaded, match="3 queries wait"):
        client.ask(Query.image_bytes(b"bytes"), LONG_S)
    assert queue.lrange(QUERIES, 0, -1) == [b"3", b"2", b"1"]
    assert not queue.keys(f"{QUERY_KEY}*")


def test_a_query_that_died_with_its_worker_is_asked_again(
    worker: HandWorker, client: QueryClient, pool: ThreadPoolExecutor
) -> None:
    answer = pool.submit(client.ask, Query.text("a"), 3.0)
    lost, again = worker.take(), worker.take()
    assert lost.id != again.id
    worker.answer(again, 0.5)
    assert answer.result().floats() == [0.5]


def test_the_first_answer_counts_even_after_the_query_was_asked_again(
    worker: HandWorker, client: QueryClient, pool: ThreadPoolExecutor
) -> None:
    answer = pool.submit(client.ask, Query.text("a"), 3.0)
    slow, again = worker.take(), worker.take()
    worker.answer(slow, 0.25)
    assert answer.result().floats() == [0.25]
    worker.answer(again, 0.5)


def test_a_query_that_no_worker_has_taken_is_replaced_and_goes_first(
    queue: redis.Redis, worker: HandWorker, client: QueryClient, pool: ThreadPoolExecutor
) -> None:
    """Otherwise slow workers would get twice the load."""
    answer = pool.submit(client.ask, Query.image_bytes(b"bytes"), 3.0)
    first: Any = wait_for(lambda: queue.lrange(QUERIES, 0, -1), "the query")
    queue.lpush(QUERIES, "younger")
    wait_for(lambda: queue.lrange(QUERIES, -1, -1) != first, "the query to be asked again")
    assert queue.llen(QUERIES) == 2
    assert len(queue.keys(f"{QUERY_KEY}*")) == 2
    worker.answer(worker.take(), 0.5)
    assert answer.result().floats() == [0.5]


def test_a_cancelled_task_takes_its_query_back(queue: redis.Redis, worker: HandWorker, client: QueryClient) -> None:
    async def ask_and_cancel() -> None:
        task = asyncio.create_task(client.ask_async(Query.image_bytes(b"bytes"), LONG_S))
        await asyncio.to_thread(wait_for, lambda: queue.llen(QUERIES), "the query")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(ask_and_cancel())
    wait_for(lambda: not queue.keys("clipqueue:quer[iy]*[^s]") and not queue.llen(QUERIES), "no trace of the query")


def test_a_task_that_is_cancelled_while_its_query_is_asked_leaves_nothing(
    queue: redis.Redis, worker: HandWorker, client: QueryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the client would wait for its answer for ever."""
    is_asking, may_ask = threading.Event(), threading.Event()

    def check(_: object) -> None:
        is_asking.set()
        assert may_ask.wait(LONG_S)

    async def cancel() -> None:
        task = asyncio.create_task(client.ask_async(Query.text("a"), LONG_S))
        await asyncio.to_thread(is_asking.wait, LONG_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        may_ask.set()

    monkeypatch.setattr(client, "_check_model", check)
    asyncio.run(cancel())
    client._threads.shutdown(wait=True)
    assert not client._waiting
    assert not queue.exists(QUERIES)


def test_the_async_client_raises_the_same_errors(queue: redis.Redis, worker: HandWorker, client: QueryClient) -> None:
    with pytest.raises(QueryTimeout):
        asyncio.run(client.ask_async(Query.text("a"), 0.3))
    queue.lpush(QUERIES, "1", "2", "3")
    with pytest.raises(Overloaded):
        asyncio.run(client.ask_async(Query.text("a"), LONG_S))


def test_a_closed_client_refuses_and_has_no_thread(
    worker: HandWorker, client: QueryClient, pool: ThreadPoolExecutor
) -> None:
    pool.submit(worker.serve, 1)
    client.ask(Query.text("a"), LONG_S)
    client.close()
    wait_for(lambda: not _readers(), "the thread to end")
    with pytest.raises(BrokerUnavailable, match="closed"):
        client.ask(Query.text("a"), LONG_S)


def test_a_restarted_redis_loses_no_client(redis_url: str, queue: redis.Redis, worker: HandWorker) -> None:
    """Its connections break while a thread waits for an answer on one of them."""
    with EmbeddingClient(redis_url) as client, ThreadPoolExecutor(2) as pool:
        answer = pool.submit(client.embed_text, "abc", timeout_s=LONG_S)
        request = worker.take()
        queue.client_kill_filter(_type="normal", skipme=True)
        worker.answer(request, 3.0)
        assert answer.result() == [3.0]
        pool.submit(worker.serve, 1)
        assert client.embed_text("abcd", timeout_s=LONG_S) == [4.0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_asks_on_its_own(redis_url: str, worker: HandWorker, pool: ThreadPoolExecutor) -> None:
    """A web server loads the application, asks, and then forks its workers."""
    script = """
import os, sys
from producer import EmbeddingClient
client = EmbeddingClient(sys.argv[1])
assert client.embed_text("abc", timeout_s=30) == [3.0]
child = os.fork()
assert client.embed_text("abcd", timeout_s=30) == [4.0]
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    pool.submit(worker.serve, 3)
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", script, redis_url], check=False, timeout=60)
    assert run.returncode == 0


def test_a_script_that_has_asked_ends_without_closing_the_client(
    redis_url: str, worker: HandWorker, pool: ThreadPoolExecutor
) -> None:
    """And it needs neither numpy nor pymongo."""
    script = """
import asyncio, sys
sys.modules["numpy"] = sys.modules["pymongo"] = None
from producer import AsyncEmbeddingClient, EmbeddingClient
print(EmbeddingClient(sys.argv[1]).embed_text("abc", timeout_s=30))
print(asyncio.run(AsyncEmbeddingClient(sys.argv[1]).embed_text("abcd", timeout_s=30)))
"""
    pool.submit(worker.serve, 2)
    run = subprocess.run(
        [sys.executable, "-c", script, redis_url], check=True, timeout=60, capture_output=True, text=True
    )
    assert run.stdout == "[3.0]\n[4.0]\n"


@pytest.mark.parametrize("text", ["", "\ud800", "x" * 8193])
def test_an_unusable_text_never_reaches_redis(redis_url: str, queue: redis.Redis, text: str) -> None:
    with EmbeddingClient(redis_url) as client, pytest.raises(InvalidJob):
        client.embed_text(text)
    assert not queue.keys("*")


def _readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "clipqueue-answers"]
