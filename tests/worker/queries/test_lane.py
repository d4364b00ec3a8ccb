"""Queries on a real Redis are answered, whatever the images in flight do, and whatever other programs write."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from producer.contract.errors import EmbeddingFailed, NoWorker, QueryTimeout
from producer.contract.names import ANSWERS_KEY, QUERIES, QUERY_KEY, QUERY_WORKERS
from producer.contract.queries import Query, Save, read_answer
from tests.support.fake_encoder import NAN_MODEL
from tests.support.pictures import small_jpeg
from tests.support.waiting import wait_for
from tests.worker.queries.conftest import MODEL, UNREADABLE, Worker
from worker.errors import EncoderBroken, OutOfMemory, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis
    from pymongo.collection import Collection

    from producer.client.queries import QueryClient
    from tests.support.servers import ImageServer
    from tests.worker.queries.conftest import StartQueries

LONG_S = 20.0
REPLY = ANSWERS_KEY + "test"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


def put(queue: redis.Redis, name: str = QUERIES, /, **fields: Any) -> str:
    """Put a query on a list as any program may do it; return its id."""
    query_id = uuid.uuid4().hex
    request = {"v": 1, "id": query_id, "reply": REPLY, "kind": "text", "text": "a"}
    queue.set(QUERY_KEY + query_id, json.dumps({**request, **fields}), px=20_000)
    queue.lpush(name, query_id)
    return query_id


def answer_to(queue: redis.Redis, query_id: str) -> Any:
    popped: Any = queue.blpop([REPLY], 20)
    found_id, answer = read_answer(popped[1])
    assert found_id == query_id
    return answer


@pytest.mark.parametrize("text", ["a red bicycle", "\x00 \N{BICYCLE} \u202e", "one " * 17, "x" * 8192])
def test_a_text_has_the_vector_of_the_encoder(worker: Worker, asker: QueryClient, text: str) -> None:
    answer = asker.ask(Query.text(text), LONG_S)
    tokens = worker.texts.tokenize(text)
    assert (answer.model, answer.dim, answer.tokens, answer.truncated) == (MODEL, 48, tokens.count, tokens.truncated)
    assert np.allclose(answer.floats(), worker.texts.encode([tokens])[0])


def test_a_picture_has_the_same_vector_by_url_and_by_bytes(
    worker: Worker, asker: QueryClient, images: ImageServer
) -> None:
    content = small_jpeg()
    by_url = asker.ask(Query.image_url(images.add("/a.jpg", content) + "?sig=1"), LONG_S)
    uploaded = asker.ask(Query.image_bytes(content), LONG_S)
    assert by_url == uploaded
    assert uploaded.image
    assert (uploaded.image.width, uploaded.image.height, uploaded.image.format) == (64, 48, "JPEG")
    assert (uploaded.tokens, uploaded.saved) == (0, None)


def test_a_text_is_answered_while_image_batches_hang(
    worker: Worker, asker: QueryClient, pool: ThreadPoolExecutor
) -> None:
    worker.images.gate.clear()
    pixels = np.zeros((32, 32, 3), np.uint8)
    bulk = [pool.submit(worker.batcher.embed, pixels)]
    wait_for(lambda: worker.images.batches, "a batch")
    bulk += [pool.submit(worker.batcher.embed, pixels) for _ in range(19)]
    assert asker.ask(Query.text("a"), LONG_S).dim == 48
    worker.images.gate.set()
    assert len([job.result() for job in bulk]) == 20
    assert set(worker.images.batches[1:]) == {1}, "the cap while queries arrive"


def test_a_picture_goes_before_the_images_that_wait(
    worker: Worker, asker: QueryClient, pool: ThreadPoolExecutor
) -> None:
    worker.images.gate.clear()
    pixels = np.zeros((32, 32, 3), np.uint8)
    bulk = [pool.submit(worker.batcher.embed, pixels)]
    wait_for(lambda: worker.images.batches, "a batch")
    bulk += [pool.submit(worker.batcher.embed, pixels) for _ in range(19)]
    wait_for(lambda: len(worker.batcher._waiting) == 19, "images that wait")
    query = pool.submit(asker.ask, Query.image_bytes(small_jpeg()), LONG_S)
    wait_for(lambda: worker.batcher._first, "the picture")
    worker.images.gate.set()
    assert query.result().image
    assert len([job.result() for job in bulk]) == 20
    # The other images are black.
    assert [bool(batch.any()) for batch in worker.images.inputs].index(True) == 1, "the picture is in the next batch"
    assert len(worker.images.batches) > 2


def test_texts_that_wait_share_a_forward_pass(worker: Worker, asker: QueryClient, pool: ThreadPoolExecutor) -> None:
    worker.texts.gate.clear()
    first = pool.submit(asker.ask, Query.text("first"), LONG_S)
    wait_for(lambda: worker.texts.batches, "the first text")
    others = [pool.submit(asker.ask, Query.text(f"text {number}"), LONG_S) for number in range(6)]
    wait_for(lambda: len(asker._waiting) == 7, "the others")
    worker.texts.gate.set()
    alone = asker.ask(Query.text("text 3"), LONG_S)
    assert others[3].result().vector == alone.vector
    assert first.result().vector != alone.vector
    assert max(worker.texts.batches) > 1


def test_a_query_that_its_asker_has_given_up_is_dropped(
    worker: Worker, asker: QueryClient, pool: ThreadPoolExecutor, queue: redis.Redis
) -> None:
    worker.texts.gate.clear()
    first = pool.submit(asker.ask, Query.text("first"), LONG_S)
    wait_for(lambda: worker.texts.batches, "the first text")
    with pytest.raises(QueryTimeout):
        asker.ask(Query.text("given up"), 0.3)
    wait_for(lambda: not queue.keys(f"{QUERY_KEY}*"), "the query to expire")
    worker.texts.gate.set()
    first.result()
    asker.ask(Query.text("another"), LONG_S)
    assert sum(worker.texts.batches) == 2


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"v": 2}, "invalid_query"),
        ({"kind": "audio"}, "invalid_query"),
        ({"text": ["a"]}, "invalid_query"),
        ({"text": "\ud800"}, "invalid_query"),
        ({"model": "other/model"}, "wrong_model"),
        ({"text": "one " * 17, "truncate": False}, "text_too_long"),
    ],
)
def test_a_wrong_query_is_answered_with_its_code(
    worker: Worker, queue: redis.Redis, fields: dict[str, Any], code: str
) -> None:
    assert answer_to(queue, put(queue, **fields)).code == code
    assert 0 < queue.pttl(REPLY) <= 60_000 or not queue.exists(REPLY)


def test_what_cannot_be_answered_is_dropped_with_one_line(
    worker: Worker, queue: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is written to a list that is not for answers."""
    queue.lpush("images", "a message")
    put(queue, reply="images")
    queue.lpush(QUERIES, "../../etc", "x" * 100_000, b"\xff\xfe", uuid.uuid4().hex)
    typed = uuid.uuid4().hex
    queue.hset(QUERY_KEY + typed, "a", "hash")
    queue.lpush(QUERIES, typed)
    assert answer_to(queue, put(queue)).dim == 48
    assert queue.lrange("images", 0, -1) == [b"a message"]
    assert caplog.text.count("names no list to answer to") == 1
    assert caplog.text.count("16 to 64 hex digits") == 3


def test_answers_expire(worker: Worker, queue: redis.Redis) -> None:
    put(queue)
    wait_for(lambda: queue.exists(REPLY), "the answer")
    assert 0 < queue.pttl(REPLY) <= 60_000


def test_two_models_never_answer_for_each_other(start_queries: StartQueries, asker: QueryClient) -> None:
    workers = {model: start_queries(model) for model in ("fake/a", "fake/b")}
    for model, worker in workers.items():
        for _ in range(4):
            assert asker.ask(Query.text("a", model), LONG_S).model == model
        assert sum(worker.texts.batches) == 4
    assert [(model.model, model.workers) for model in asker.models()] == [("fake/a", 1), ("fake/b", 1)]


def test_an_error_of_the_picture_has_the_code_of_a_job(worker: Worker, asker: QueryClient, images: ImageServer) -> None:
    url = images.add("/a.html", b"<html></html>") + "?token=secret"
    for query, code, stage in (
        (Query.image_url(url), "html_page", "fetch"),
        (Query.image_url("http://10.0.0.1/a.jpg"), "blocked_address", "fetch"),
        (Query.image_bytes(b"no picture"), "unsupported_format", "decode"),
    ):
        with pytest.raises(EmbeddingFailed) as raised:
            asker.ask(query, LONG_S)
        assert (raised.value.code, raised.value.stage) == (code, stage)
        assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("error", "code"),
    [(OutOfMemory("out of memory"), "encode_failed"), (MemoryError(), "encode_failed"), (KeyError(), "internal_error")],
)
def test_a_text_that_the_model_fails_on_is_answered(
    worker: Worker, asker: QueryClient, error: Exception, code: str
) -> None:
    worker.texts.error = error
    with pytest.raises(EmbeddingFailed) as raised:
        asker.ask(Query.text("a"), LONG_S)
    assert raised.value.code == code
    worker.texts.error = None
    assert asker.ask(Query.text("a"), LONG_S).dim == 48


def test_a_text_that_the_tokenizer_fails_on_costs_no_other_its_answer(
    worker: Worker, asker: QueryClient, pool: ThreadPoolExecutor
) -> None:
    worker.texts.gate.clear()
    first = pool.submit(asker.ask, Query.text("first"), LONG_S)
    wait_for(lambda: worker.texts.batches, "the first text")
    failing = pool.submit(asker.ask, Query.text(UNREADABLE), LONG_S)
    other = pool.submit(asker.ask, Query.text("other"), LONG_S)
    wait_for(lambda: len(asker._waiting) == 3, "the others")
    worker.texts.gate.set()
    assert (first.result().dim, other.result().dim) == (48, 48)
    with pytest.raises(EmbeddingFailed, match="internal_error"):
        failing.result()


def test_a_vector_that_is_not_finite_is_not_answered(start_queries: StartQueries, asker: QueryClient) -> None:
    start_queries(NAN_MODEL)
    for query in (Query.text("a"), Query.image_bytes(small_jpeg())):
        with pytest.raises(EmbeddingFailed, match="bad_vector"):
            asker.ask(query, LONG_S)


def test_a_broken_device_ends_the_lane_and_tells_the_watchdog(worker: Worker, asker: QueryClient) -> None:
    worker.texts.error = EncoderBroken("CUDA error")
    with pytest.raises(QueryTimeout):
        asker.ask(Query.text("a"), 0.5)
    assert worker.lane.is_broken


def test_the_watchdog_sees_a_forward_pass_that_hangs(
    worker: Worker, asker: QueryClient, pool: ThreadPoolExecutor
) -> None:
    worker.texts.gate.clear()
    answer = pool.submit(asker.ask, Query.text("a"), LONG_S)
    assert wait_for(lambda: worker.lane.running_calls, "the forward pass")
    worker.texts.gate.set()
    assert answer.result().dim == 48
    wait_for(lambda: not worker.lane.running_calls, "its end")


def test_a_worker_that_drains_gives_queries_back_and_finishes_those_it_has(
    start_queries: StartQueries, asker: QueryClient, pool: ThreadPoolExecutor, queue: redis.Redis
) -> None:
    stopping = start_queries()
    stopping.texts.gate.clear()
    taken = pool.submit(asker.ask, Query.text("taken"), LONG_S)
    wait_for(lambda: stopping.texts.batches, "the text")
    stopping.drain.start()
    other = start_queries()
    assert asker.ask(Query.text("for the other"), LONG_S).dim == 48
    stopping.texts.gate.set()
    assert taken.result().dim == 48
    stopping.close()
    assert (sum(stopping.texts.batches), sum(other.texts.batches)) == (1, 1)
    assert all(queue.ttl(key) > 0 for key in queue.keys("clipqueue:query_stop:*"))


def test_a_query_that_arrives_in_the_moment_of_the_drain_stays_on_the_list(worker: Worker, queue: redis.Redis) -> None:
    wait_for(lambda: "brpop" in str(queue.client_list()), "the lane to wait")
    worker.drain.start()
    query_id = put(queue)
    wait_for(lambda: not worker.lane._thread.is_alive(), "the lane to end")
    assert queue.lrange(QUERIES, 0, -1) == [query_id.encode()]
    assert queue.exists(QUERY_KEY + query_id)


def test_a_worker_signs_off_when_it_drains(worker: Worker, queue: redis.Redis, asker: QueryClient) -> None:
    assert queue.zcard(QUERY_WORKERS) == 1
    worker.drain.start()
    worker.heartbeat.beat()
    assert queue.zcard(QUERY_WORKERS) == 0
    with pytest.raises(NoWorker):
        asker.ask(Query.text("a"), LONG_S)


def test_a_heartbeat_removes_workers_that_are_long_dead(start_queries: StartQueries, queue: redis.Redis) -> None:
    queue.zadd(QUERY_WORKERS, {"dead": 1.0})
    start_queries()
    assert queue.zscore(QUERY_WORKERS, "dead") is None


def test_lost_connections_are_opened_again_and_logged_once(
    worker: Worker, asker: QueryClient, queue: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        wait_for(lambda: "brpop" in str(queue.client_list()), "the lane to wait")
        queue.client_kill_filter(_type="normal", skipme=True)
        assert asker.ask(Query.text("a"), LONG_S).dim == 48
    assert caplog.text.count("no queries are taken") == caplog.text.count("queries are taken again") <= 3


def test_an_upload_is_saved_as_a_job_would_save_it(
    worker: Worker, asker: QueryClient, collection: Collection[dict[str, Any]], new_id: str
) -> None:
    collection.insert_one({"_id": new_id, "title": "x"})
    answer = asker.ask(Query.image_bytes(small_jpeg(), save=Save.new(new_id)), LONG_S)
    document: Any = collection.find_one({"_id": new_id})
    job = document["embedding_job"]
    assert answer.saved == "done"
    assert np.allclose(document["embedding"], answer.floats())
    assert (document["title"], job["status"], job["model"], job["dim"]) == ("x", "done", MODEL, 48)
    assert "url" not in document
    assert "url" not in job
    late = asker.ask(Query.image_bytes(small_jpeg(1), save=Save(new_id, 1)), LONG_S)
    assert late.saved == "superseded"
    assert np.allclose(collection.find_one({"_id": new_id})["embedding"], answer.floats())  # type: ignore[index]


def test_a_store_that_is_away_is_said_to_the_asker(
    worker: Worker, asker: QueryClient, monkeypatch: pytest.MonkeyPatch, new_id: str
) -> None:
    def refuse(*_: object) -> bool:
        raise StoreUnavailable("MongoDB did not answer")

    monkeypatch.setattr("worker.store.mongo.MongoStore.save_upload", refuse)
    with pytest.raises(EmbeddingFailed, match="store_unavailable"):
        asker.ask(Query.image_bytes(small_jpeg(), save=Save.new(new_id)), LONG_S)
