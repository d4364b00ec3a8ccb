"""The metrics of a real worker say what has happened: each job, file and query that a test sends moves its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import psutil
import pymongo
import pytest
import redis
from ephemeral_port_reserve import reserve

from producer.client.broker import Broker
from producer.client.queries import QueryClient
from producer.client.workers import read_workers
from producer.contract.errors import EmbeddingFailed
from producer.contract.job import now_ms
from producer.contract.names import QUERIES
from producer.contract.queries import Query
from tests.support.messages import hand_made_message
from tests.support.pictures import small_jpeg
from tests.support.queued import has_ended
from tests.support.scraping import Samples, rises, scrape, scrape_text
from tests.support.servers import Answer, ImageServer, SocketServer
from tests.support.waiting import wait_for
from tests.support.workers import FakeWorker, start_fake_worker

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from producer.local.stack import Stack

JPEG = small_jpeg()
STAGES = ("check", "fetch", "decode", "encode", "save")
# These move at any time.
ALWAYS = ("clipqueue_cpu_seconds", "clipqueue_jobs_in_flight", "clipqueue_decode_processes", "process_")
PROMTOOL = shutil.which("promtool") or ""


@pytest.fixture(scope="module")
def port() -> int:
    """The port of the metrics of the one worker that all tests of this module share."""
    return int(reserve())


@pytest.fixture(scope="module", autouse=True)
def worker(own: Stack, own_dir: Path, port: int) -> FakeWorker:
    env = {"CLIPQUEUE_METRICS_PORT": str(port), "CLIPQUEUE_FETCH_PER_HOST": "1", "CLIPQUEUE_RESTORE_INTERVAL_S": "1"}
    return start_fake_worker(own, own_dir, "measured", env)


@pytest.fixture
def broker(own: Stack) -> Iterator[redis.Redis]:
    """The worker's Redis. Nothing is deleted there, since the worker's heartbeat must stay."""
    with redis.Redis.from_url(own.redis_url) as client:
        yield client


@pytest.fixture
def moved(own: Stack, broker: redis.Redis, port: int) -> Iterator[Callable[[], Samples]]:
    """A function that waits for the end of all jobs, and returns which metrics have risen since the test began."""
    before = scrape(port)

    def moved() -> Samples:
        wait_for(lambda: has_ended(broker), "all jobs to end")
        return {name: rise for name, rise in rises(before, scrape(port)).items() if not name.startswith(ALWAYS)}

    yield moved
    with pymongo.MongoClient[Any](own.mongodb_uri) as mongo:
        mongo["clipqueue"]["images"].delete_many({})


def enqueue(broker: redis.Redis, url: str, image_id: str = "photo", **fields: Any) -> None:
    broker.lpush("images", hand_made_message({"image_id": image_id, "url": url, **fields}))


def counts(rises: Samples) -> Samples:
    """Return the rises without those of sums of seconds, which depend on the machine."""
    return {name: rise for name, rise in rises.items() if "_sum" not in name and "_seconds_total" not in name}


def stages(*names: str, times: int = 1) -> Samples:
    return {f"clipqueue_{name}_duration_seconds_count": times for name in names}


def test_a_job_that_is_done_moves_its_outcome_stages_waits_batch_and_bytes(
    moved: Callable[[], Samples], broker: redis.Redis, images: ImageServer
) -> None:
    enqueue(broker, images.add("/a.jpg", JPEG), enqueued_at=now_ms() - 5000)
    found = moved()
    assert counts(found) == {
        'clipqueue_jobs_total{outcome="done"}': 1,
        **stages(*STAGES),
        "clipqueue_queue_wait_seconds_count": 1,
        "clipqueue_job_duration_seconds_count": 1,
        "clipqueue_batch_size_count": 1,
        "clipqueue_fetched_bytes_total": len(JPEG),
    }
    assert found["clipqueue_batch_size_sum"] == 1
    assert found["clipqueue_encode_duration_seconds_sum"] >= found["clipqueue_model_busy_seconds_total"] > 0
    assert found["clipqueue_job_duration_seconds_sum"] >= found["clipqueue_queue_wait_seconds_sum"] >= 5


def test_a_job_that_has_its_vector_is_skipped_and_one_without_a_plausible_time_has_no_wait(
    moved: Callable[[], Samples], broker: redis.Redis, images: ImageServer
) -> None:
    """1,700,000,000 is the time of 2023 in seconds, and of January 1970 in milliseconds."""
    url = images.add("/a.jpg", JPEG)
    enqueue(broker, url, enqueued_at=1_700_000_000)
    first = moved()
    assert "clipqueue_queue_wait_seconds_count" not in first
    assert "clipqueue_job_duration_seconds_count" not in first
    enqueue(broker, url)
    assert counts(moved()) == {
        'clipqueue_jobs_total{outcome="done"}': 1,
        'clipqueue_jobs_total{outcome="skipped"}': 1,
        **stages(*STAGES),
        **stages("check", times=2),
        "clipqueue_queue_wait_seconds_count": 1,
        "clipqueue_batch_size_count": 1,
        "clipqueue_fetched_bytes_total": len(JPEG),
    }


@pytest.mark.parametrize(
    ("answer", "labels", "ran"),
    [
        (Answer(b"gone", 404), 'code="http_404",stage="fetch"', ("check", "fetch")),
        (Answer(b"odd", 499), 'code="http_other",stage="fetch"', ("check", "fetch")),
        (Answer(b"no image"), 'code="unsupported_format",stage="decode"', ("check", "fetch", "decode")),
        (None, 'code="invalid_job",stage="receive"', ()),
    ],
)
def test_a_job_that_fails_moves_the_failures_of_its_code_and_stage(
    answer: Answer | None,
    labels: str,
    ran: tuple[str, ...],
    moved: Callable[[], Samples],
    broker: redis.Redis,
    images: ImageServer,
) -> None:
    enqueue(broker, images.add("/a.jpg", answer) if answer else "ftp://e.test/a.jpg")
    found = moved()
    found.pop("clipqueue_fetched_bytes_total", None)
    assert counts(found) == {
        'clipqueue_jobs_total{outcome="failed"}': 1,
        f"clipqueue_job_failures_total{{{labels}}}": 1,
        "clipqueue_queue_wait_seconds_count": 1,
        **stages(*ran),
    }


def test_a_job_that_is_retried_moves_the_retries_and_waits_once(
    moved: Callable[[], Samples], broker: redis.Redis, images: ImageServer
) -> None:
    enqueue(broker, images.add("/a.jpg", Answer(b"", 503), Answer(JPEG)))
    assert counts(moved()) == {
        'clipqueue_jobs_total{outcome="retried"}': 1,
        'clipqueue_jobs_total{outcome="done"}': 1,
        'clipqueue_job_retries_total{code="http_503",stage="fetch"}': 1,
        **stages("check", "fetch", times=2),
        **stages("decode", "encode", "save"),
        "clipqueue_queue_wait_seconds_count": 1,
        "clipqueue_job_duration_seconds_count": 1,
        "clipqueue_batch_size_count": 1,
        "clipqueue_fetched_bytes_total": len(JPEG),
    }


def test_a_job_whose_host_is_busy_moves_the_requeues_and_what_runs_is_in_flight(
    moved: Callable[[], Samples], broker: redis.Redis, port: int
) -> None:
    """One download a host may run. The second job waits for a second, and goes back to the queue."""
    requeues = 'clipqueue_job_requeues_total{reason="host_busy"}'

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        wait_for(lambda: scrape(port)[requeues] > before, "a requeue")
        assert scrape(port)["clipqueue_jobs_in_flight"] >= 1
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(JPEG) + JPEG)

    before = scrape(port)[requeues]
    with SocketServer(serve) as server:
        enqueue(broker, f"{server.url}/a.jpg", "one")
        enqueue(broker, f"{server.url}/b.jpg", "two")
        wait_for(lambda: scrape(port)[requeues] > before, "a requeue")
        broker.delete("images")
        found = moved()
    assert found['clipqueue_jobs_total{outcome="requeued"}'] == found[requeues] >= 1


def test_the_messages_of_a_lost_worker_move_the_redeliveries(
    moved: Callable[[], Samples], broker: redis.Redis, images: ImageServer
) -> None:
    message = hand_made_message({"image_id": "lost", "url": images.add("/a.jpg", JPEG)})
    broker.hset("unacked", "tag", json.dumps([json.loads(message), "", "images"]))
    broker.zadd("unacked_index", {"tag": 1.0})
    found = moved()
    assert found["clipqueue_redeliveries_total"] == 1
    assert found['clipqueue_jobs_total{outcome="done"}'] == 1


def test_a_decoding_process_that_is_killed_is_lost_and_another_one_decodes(
    moved: Callable[[], Samples], broker: redis.Redis, images: ImageServer, port: int, worker: FakeWorker
) -> None:
    enqueue(broker, images.add("/a.jpg", JPEG), "before")
    moved()
    cpu = 'clipqueue_cpu_seconds_total{part="decode"}'
    before = scrape(port)
    assert before["clipqueue_decode_processes"] >= 1
    assert before["clipqueue_decode_processes_lost_total"] == 0
    assert before[cpu] > 0
    for child in psutil.Process(worker.process.pid).children(recursive=True):
        if "worker.decode.child" in child.cmdline():
            child.kill()
    enqueue(broker, images.url + "/a.jpg", "after")
    found = moved()
    lost = scrape(port)["clipqueue_decode_processes_lost_total"]
    assert lost >= 1
    assert found['clipqueue_job_retries_total{code="decoder_crashed",stage="decode"}'] == lost
    assert found['clipqueue_jobs_total{outcome="done"}'] == 2
    assert scrape(port)[cpu] >= before[cpu], "the time of those that were killed stays counted"


def test_queries_move_their_kind_and_outcome(moved: Callable[[], Samples], own: Stack, broker: redis.Redis) -> None:
    with closing(Broker(own.redis_url)) as connection, closing(QueryClient(connection)) as asker:
        asker.ask(Query.text("a red bicycle"), 20.0)
        asker.ask(Query.image_bytes(JPEG), 20.0)
        with pytest.raises(EmbeddingFailed):
            asker.ask(Query.image_bytes(b"no image"), 20.0)
    broker.lpush(QUERIES, uuid.uuid4().hex)  # without a request: it has expired
    expected = {
        'clipqueue_queries_total{kind="text",outcome="answered"}': 1,
        'clipqueue_queries_total{kind="image",outcome="answered"}': 1,
        'clipqueue_queries_total{kind="image",outcome="failed"}': 1,
        'clipqueue_queries_total{kind="unknown",outcome="late"}': 1,
        'clipqueue_query_duration_seconds_count{kind="text"}': 1,
        'clipqueue_query_duration_seconds_count{kind="image"}': 2,
        "clipqueue_batch_size_count": 1,
    }
    found = wait_for(lambda: (now := counts(moved())) == expected and now, "all queries to be counted")
    assert found


def test_what_does_not_change_is_there_too(port: int, broker: redis.Redis) -> None:
    found = scrape(port)
    (worker,) = (name for name in found if name.startswith("clipqueue_worker_info"))
    assert 'device="cpu",model="fake/model",precision="fp32",version=' in worker
    assert found["clipqueue_concurrency"] == 64
    assert found["clipqueue_model_threads"] == 1
    assert found["clipqueue_store_away"] == 0
    assert found["process_resident_memory_bytes"] > 1e6
    (heartbeat,) = read_workers(broker).heartbeats
    assert heartbeat["model_threads"] == 1
    assert heartbeat["batch_size"] == 32
    assert heartbeat["stats"]["rss_bytes"] > 1e6


def test_scrapes_during_load_answer_and_no_sum_falls(
    moved: Callable[[], Samples], broker: redis.Redis, images: ImageServer, port: int
) -> None:
    url = images.add("/a.jpg", JPEG)
    scrapes = [scrape(port)]
    for number in range(30):
        enqueue(broker, url, f"load-{number}")
    while not has_ended(broker):
        scrapes.append(scrape(port))
    assert moved()['clipqueue_jobs_total{outcome="done"}'] >= 1
    for earlier, later in pairwise(scrapes):
        assert all(later[name] >= value for name, value in earlier.items() if "_total" in name or "_bucket" in name)


@pytest.mark.skipif(not PROMTOOL, reason="needs promtool, which Debian's prometheus has")
def test_promtool_finds_no_fault(
    moved: Callable[[], Samples], broker: redis.Redis, images: ImageServer, port: int
) -> None:
    enqueue(broker, images.add("/gone.jpg", Answer(b"", 404)), "gone")
    enqueue(broker, images.add("/flaky.jpg", Answer(b"", 503), Answer(JPEG)), "flaky")
    moved()
    text = scrape_text(port)
    assert "clipqueue_job_failures_total{" in text
    assert "clipqueue_job_retries_total{" in text
    checked = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
