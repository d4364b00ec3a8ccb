"""EmbeddingClient of the JavaScript package against a real Redis, by each client and by REST."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.producer.js.prelude import PRELUDE
from tests.support.queued import queued_kwargs, queued_task_ids
from tests.support.upstash import Upstash
from worker.broker.validation import validate_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

    from producer.local.stack import Stack

    Run = Callable[..., Any]


@pytest.fixture(scope="module")
def upstash(own: Stack) -> Iterator[Upstash]:
    with Upstash(own.redis_url) as upstash:
        yield upstash


@pytest.fixture
def run(run_js: Run, own: Stack, upstash: Upstash) -> Run:
    """Run a program that begins with PRELUDE, with the variables of the servers."""
    variables = {
        "REDIS_URL": own.redis_url,
        "UPSTASH_REDIS_REST_URL": upstash.url,
        "UPSTASH_REDIS_REST_TOKEN": upstash.token,
    }
    return lambda script, **more: run_js(PRELUDE + script, **{**variables, **more})


def test_each_client_pushes_messages_that_workers_read(run: Run, own_broker: redis.Redis) -> None:
    """One round trip for a job; several chunks, in order, for many."""
    task_ids = run("""
        const taskIds = [];
        for (const [name, connect] of Object.entries(ways)) {
          const client = new EmbeddingClient(await connect());
          taskIds.push(await client.enqueue(name, "https://host/a.jpg?sig=secret", { force: true }));
          const jobs = Array.from({ length: 501 }, (_, number) => [`${name}-${number}`, `https://host/${number}.jpg`]);
          if (await client.enqueueMany(jobs) !== 501) throw new Error("not all");
        }
        print(taskIds);
    """)
    names = ("rest", "ioredis", "redis", "upstash")
    ids = [kwargs["image_id"] for kwargs in queued_kwargs(own_broker)]
    assert ids == [one for name in names for one in (name, *(f"{name}-{number}" for number in range(501)))]
    assert queued_task_ids(own_broker)[::502] == task_ids
    items: Any = own_broker.lrange("images", 0, -1)
    for item in items:
        validate_message(item)


def test_ids_and_force_are_as_in_python(run: Run, own_broker: redis.Redis) -> None:
    run("""
        import { Int32, Long, ObjectId, UUID } from "bson";
        const client = new EmbeddingClient(await ways.rest());
        const oid = "65f0c0ffee65f0c0ffee65f0";
        const ids = [oid, new ObjectId(oid), { $oid: oid.toUpperCase() }, 5, 2n ** 53n + 1n, new Int32(-6),
          Long.MAX_VALUE, { $numberLong: "7" }, new UUID("123e4567-e89b-12d3-a456-426614174000")];
        for (const id of ids) await client.enqueue(id, "http://host/");
        await client.enqueueMany(new Map([["a", "http://host/"]]), { force: true });
        print(true);
    """)
    oid = "65f0c0ffee65f0c0ffee65f0"
    jobs = queued_kwargs(own_broker)
    integers = [{"$numberLong": text} for text in ("5", "9007199254740993", "-6", "9223372036854775807", "7")]
    uuid = {"$uuid": "123e4567-e89b-12d3-a456-426614174000"}
    assert [job["image_id"] for job in jobs] == [oid, {"$oid": oid}, {"$oid": oid}, *integers, uuid, "a"]
    assert [job.get("force") for job in jobs] == [None] * 9 + [True]


def test_the_last_enqueue_of_an_id_has_the_latest_time(run: Run, own_broker: redis.Redis) -> None:
    """Within a chunk, across chunks, and for two clients of one process."""
    run("""
        const [one, other] = [new EmbeddingClient(await ways.rest()), new EmbeddingClient(await ways.rest())];
        const others = Array.from({ length: 600 }, (_, number) => [`id-${number}`, "http://host/other.jpg"]);
        await one.enqueueMany([["a", "http://host/1"], ["a", "http://host/2"], ...others, ["a", "http://host/3"]]);
        await other.enqueue("a", "http://host/4");
        await one.enqueue("a", "http://host/5");
        print(true);
    """)
    jobs = [kwargs for kwargs in queued_kwargs(own_broker) if kwargs["image_id"] == "a"]
    times = [kwargs["enqueued_at"] for kwargs in jobs]
    assert [kwargs["url"][-1] for kwargs in jobs] == ["1", "2", "3", "4", "5"]
    assert times == sorted(set(times))


def test_a_chunk_has_at_most_one_megabyte(run: Run, own_broker: redis.Redis, upstash: Upstash) -> None:
    upstash.requests.clear()
    run("""
        const client = new EmbeddingClient(await ways.rest());
        await client.enqueueMany(Array.from({ length: 500 }, (_, n) => [`${n}`, "http://h/" + "😀".repeat(500)]));
        print(true);
    """)
    sizes = [size for _, size in upstash.requests]
    assert own_broker.llen("images") == 500
    assert len(sizes) > 4
    assert max(sizes) < 1_200_000  # JSON escapes the quotes of the messages once more


def test_many_jobs_are_read_lazily_and_the_source_is_closed(run: Run, own_broker: redis.Redis) -> None:
    """An invalid job ends the call: the chunks before it are enqueued, its own is not."""
    results = run("""
        const client = new EmbeddingClient(await ways.rest());
        const seen = [];
        function* source(kind) {
          try {
            for (let number = 0; number < 2000; number++) {
              seen.push(number);
              yield number === 700 ? ["a", "ftp://host/"] : [`${kind}-${number}`, "http://host/"];
            }
          } finally { seen.push("closed"); }
        }
        async function* slow(kind) { yield* source(kind); }
        const results = [];
        for (const make of [source, slow]) {
          seen.length = 0;
          results.push(await outcome(() => client.enqueueMany(make(make.name))), seen.at(-2), seen.at(-1));
        }
        print(results);
    """)
    refused = "InvalidJob: the URL's scheme is 'ftp'; only http and https are fetched"
    assert results == [refused, 700, "closed"] * 2
    assert own_broker.llen("images") == 1000


def test_a_signal_ends_a_call_and_many_jobs_at_the_next_job(run: Run, own_broker: redis.Redis) -> None:
    results = run("""
        const client = new EmbeddingClient(await ways.rest());
        const controller = new AbortController();
        const seen = [];
        function* source() {
          for (let number = 0; number < 2000; number++) {
            seen.push(number);
            if (number === 1250) controller.abort();
            yield [`${number}`, "http://host/"];
          }
        }
        print([
          await outcome(() => client.enqueueMany(source(), { signal: controller.signal })),
          seen.length,
          await outcome(() => client.enqueue("a", "http://host/", { signal: controller.signal })),
          await outcome(() => client.enqueueMany([], { signal: AbortSignal.abort(new Error("enough")) })),
        ]);
    """)
    aborted = "AbortError: This operation was aborted"
    assert results == [aborted, 1251, aborted, "Error: enough"]
    # The first chunk was accepted. The second was on its way, and may have arrived.
    assert own_broker.llen("images") in {500, 1000}


def test_a_signal_ends_many_jobs_whose_source_does_not_answer(run: Run, own_broker: redis.Redis) -> None:
    result = run("""
        import { ClipqueueApi } from "clipqueue";
        const never = () => new Promise(() => {});
        const source = { [Symbol.asyncIterator]: () => ({ next: never, return: never }) };
        const controller = new AbortController();
        setTimeout(() => controller.abort(), 50);
        const clients = [new EmbeddingClient(await ways.rest()), new ClipqueueApi({ baseUrl: "http://127.0.0.1:9" })];
        const calls = clients.map((client) => client.enqueueMany(source, { signal: controller.signal }));
        print(await Promise.all(calls.map((call) => outcome(() => call))));
    """)
    assert result == ["AbortError: This operation was aborted"] * 2
    assert not own_broker.exists("images")


def test_what_is_no_job_is_refused_before_anything_is_sent(run: Run, own_broker: redis.Redis) -> None:
    results = run("""
        const client = new EmbeddingClient(await ways.rest());
        const calls = [
          () => client.enqueue("", "http://host/"),
          () => client.enqueue(7.5, "http://host/"),
          () => client.enqueue({ toHexString: () => "no hex" }, "http://host/"),
          () => client.enqueue("a", null),
          () => client.enqueue("a", new URL("http://host/")),
          () => client.enqueue("a"),
          () => client.enqueueMany("abc"),
          () => client.enqueueMany({ a: "http://host/" }),
          () => client.enqueueMany([{ id: "a", url: "http://host/" }]),
          () => client.enqueueMany([["a", "http://host/", true]]),
        ];
        const results = [];
        for (const call of calls) results.push(await outcome(call));
        print(results);
    """)
    assert results == [
        "InvalidJob: image_id is empty; give the _id of the document that should get the vector",
        (
            'InvalidJob: image_id must be a string, an integer, {"$oid": "<24 hex digits>"} or '
            '{"$uuid": "<36 characters>"}'
        ),
        "InvalidJob: an ObjectId has exactly 24 hex digits",
        "InvalidJob: url must be a string, not null",
        "InvalidJob: url must be a string, not URL",
        "InvalidJob: url must be a string, not undefined",
        "InvalidJob: jobs must be an iterable or async iterable of pairs [imageId, url]",
        "InvalidJob: jobs must be an iterable or async iterable of pairs [imageId, url]",
        "InvalidJob: each job must be a pair [imageId, url]",
        "InvalidJob: each job must be a pair [imageId, url]",
    ]
    assert own_broker.llen("images") == 0


def test_a_redis_that_is_full_says_so_by_every_client(run: Run, own: Stack, own_broker: redis.Redis) -> None:
    own_broker.config_set("maxmemory", "1")
    try:
        results = run("""
            const results = [];
            for (const connect of Object.values(ways)) {
              const client = new EmbeddingClient(await connect());
              results.push(await outcome(() => client.enqueue("a", "https://host/?sig=hunter2")));
            }
            print(results);
        """)
    finally:
        own_broker.config_set("maxmemory", "0")
    assert len(results) == 4
    for result in results:
        assert result.startswith("BrokerUnavailable: Redis at 127.0.0.1:")
        assert "its memory has reached maxmemory. Start more workers" in result
        assert "hunter2" not in result


def test_a_redis_that_asks_for_a_password_says_so(run: Run, own: Stack, own_broker: redis.Redis) -> None:
    """Messages name the host. They never repeat a password or a token."""
    own_broker.config_set("requirepass", "right")
    own_broker.auth("right")
    try:
        results = run("""
            import { Redis } from "ioredis";
            import { createClient } from "redis";
            const silent = (client) => client.on("error", () => {});
            const wrong = REDIS_URL.replace("//", "//:hunter2@");
            // The second one connects again and again until the deadline.
            const clients = [
              [silent(new Redis(REDIS_URL)), 10_000],
              [silent(new Redis(wrong)), 500],
              [silent(createClient({ url: wrong })), 10_000],
              [{ url, token: "hunter2" }, 10_000],
            ];
            const results = [];
            for (const [client, timeoutMs] of clients) {
              results.push(await outcome(() => new EmbeddingClient(client, { timeoutMs }).enqueue("a", "http://h/")));
            }
            print(results);
        """)
    finally:
        own_broker.config_set("requirepass", "")
    reasons = [result.partition(" did not accept the job: ")[2] for result in results]
    assert reasons[0] == "it asks for a password, and the client sends none: put the password into the client's URL"
    assert reasons[2] == "the client is not connected: await client.connect() first"
    assert reasons[3] == "it refuses the token (HTTP 401): check token"
    assert all(result.startswith("BrokerUnavailable: Redis at 127.0.0.1:") for result in results)
    assert "hunter2" not in json.dumps(results)
