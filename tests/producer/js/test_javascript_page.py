"""The JavaScript of docs/javascript.md, of docs/contract.md and of the READMEs works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

from tests.support.api import KEY, running_api
from tests.support.pictures import small_jpeg
from tests.support.queued import accepted_jobs, queued_ids
from worker.broker.validation import validate_message

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack
    from tests.support.servers import ImageServer

ROOT = Path(__file__).parents[3]


def programs_of(page: str) -> list[str]:
    return re.findall(r"```js\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


ENQUEUE, ENQUEUE_MANY, API = programs_of("docs/javascript.md")
[TRACED] = programs_of("docs/tracing.md")
*_, README_SEARCH = programs_of("producer/js/README.md")
# What the page takes for granted: the backend's collection, and one of its documents.
BACKEND = """
import { MongoClient } from "mongodb";
const mongo = new MongoClient(process.env.MONGODB_URI);
const images = mongo.db().collection("images");
const document = await images.findOne({ title: "first" });
"""


def test_the_code_that_enqueues_works(
    run_js: Callable[..., Any], stack: Stack, redis_url: str, queue: redis.Redis
) -> None:
    uri = f"{stack.mongodb_uri}-page"
    with pymongo.MongoClient[dict[str, Any]](uri) as mongo:
        collection = mongo.get_default_database()["images"]
        url = "https://example.com/cat.jpg"
        first = collection.insert_one({"title": "first", "url": url}).inserted_id
        second = collection.insert_one({"title": "second", "url": url}).inserted_id
        end = "console.log(JSON.stringify(await images.countDocuments())); process.exit();"
        run_js(f"{BACKEND}{ENQUEUE}{ENQUEUE_MANY}{end}", MONGODB_URI=uri, REDIS_URL=redis_url)
        collection.drop()
    assert sorted(map(str, queued_ids(queue))) == sorted(map(str, [first, first, second]))


def test_the_code_that_calls_the_api_works(
    run_js: Callable[..., Any],
    stack: Stack,
    worker_log: Path,
    images: ImageServer,
    collection: Collection[dict[str, Any]],
) -> None:
    code = API.replace("https://example.com/cat.jpg", images.add("/cat.jpg", small_jpeg()))
    end = "console.log(JSON.stringify([image.status, page.data.length, vector.length]));"
    with running_api(REDIS_URL=stack.redis_url, MONGODB_URI=stack.mongodb_uri) as api:
        variables = {"CLIPQUEUE_URL": api.url, "CLIPQUEUE_KEY": KEY}
        status, hits, dim = run_js(code + end, **variables)
        readme_hits = run_js(README_SEARCH + "console.log(page.data.length);", **variables)
    collection.delete_one({"_id": "photo-1"})
    assert (status, dim) == ("done", 48)
    assert hits == readme_hits >= 1


def test_the_code_that_passes_a_trace_works(run_js: Callable[..., Any], redis_url: str, queue: redis.Redis) -> None:
    """A propagator may write more headers, such as those of Zipkin. The package of the import is not installed here."""
    package, _, rest = TRACED.partition("\n")
    assert package == 'import { context, propagation } from "@opentelemetry/api";'
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    run_js(
        f"""
        import {{ EmbeddingClient }} from "clipqueue";
        import {{ Redis }} from "ioredis";
        const document = {{ _id: "traced", url: "https://host/a.jpg" }};
        const client = new EmbeddingClient(new Redis(process.env.REDIS_URL));
        const context = {{ active: () => "{parent}" }};
        const inject = (active, carrier) => Object.assign(carrier, {{ traceparent: active, b3: "1", baggage: "a=b" }});
        const propagation = {{ inject }};
        {rest}
        const refused = await client.enqueue("a", document.url, {{ trace: {{ baggage: "a=é" }} }}).catch(String);
        if (refused !== "InvalidJob: trace: baggage is not valid") throw new Error(refused);
        await client.enqueueMany([["many", document.url]], {{ trace: {{ "sentry-trace": undefined, ...trace }} }});
        console.log("{{}}");
        process.exit();
        """,
        REDIS_URL=redis_url,
    )
    messages: Any = queue.lrange("images", 0, -1)
    for message in messages:
        headers = validate_message(message)["headers"]
        assert headers["headers"] == {"traceparent": parent, "baggage": "a=b"}
    assert len(messages) == 2


@pytest.mark.parametrize("page", ["README.md", "docs/contract.md"])
def test_a_worker_accepts_the_job_of_another_page(
    page: str, run_js: Callable[..., Any], redis_url: str, queue: redis.Redis
) -> None:
    [program] = [code for code in programs_of(page) if code.startswith("import")]
    run_js(f"{program}\nconsole.log('{{}}'); process.exit();", REDIS_URL=redis_url)
    [job] = accepted_jobs(queue)
    assert job.keys() == {"image_id", "url", "enqueued_at"}
    assert (job["image_id"], job["url"]) == ("photo-1", "https://example.com/cat.jpg")
