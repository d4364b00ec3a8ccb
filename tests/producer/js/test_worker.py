"""Jobs that the JavaScript package enqueues, run by a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId

from tests.producer.js.prelude import PRELUDE
from tests.support.long_urls import longest_id, longest_url, picture_everywhere
from tests.support.node_packages import node_modules
from tests.support.pictures import small_jpeg
from tests.support.upstash import Upstash

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.local.stack import Stack
    from tests.support.servers import ImageServer

ENQUEUE = """
import { ObjectId } from "bson";
const { PREFIX, IMAGE, OID } = process.env;
const ids = [];
for (const [name, connect] of Object.entries(ways)) {
  const client = new EmbeddingClient(await connect());
  await client.enqueue(`${PREFIX}-${name}`, `${IMAGE}?sig=ü-${name}`);
  await client.enqueueMany([[`${PREFIX}-${name}-many`, IMAGE]]);
  ids.push(`${PREFIX}-${name}`, `${PREFIX}-${name}-many`);
}
await new EmbeddingClient(await ways.ioredis()).enqueue(new ObjectId(OID), IMAGE);
print(ids);
"""


@pytest.mark.usefixtures("worker_log")
def test_a_worker_embeds_the_longest_job(
    run_js: Callable[..., Any], stack: Stack, new_id: str, result_of: Callable[[Any], dict[str, Any]]
) -> None:
    with picture_everywhere() as server:
        job = {"ID": longest_id(new_id), "URL": longest_url(server.url)}
        script = "await new EmbeddingClient(await ways.ioredis()).enqueue(process.env.ID, process.env.URL); print(1);"
        run_js(PRELUDE + script, REDIS_URL=stack.redis_url, **job)
        record = result_of(job["ID"])["embedding_job"]
    assert (record["status"], record["url"]) == ("done", job["URL"])


@pytest.mark.parametrize("newer", [False, True], ids=["Node", "a newer Node"])
@pytest.mark.usefixtures("worker_log")
def test_a_worker_embeds_what_each_client_enqueues(
    newer: bool,
    run_js: Callable[..., Any],
    stack: Stack,
    images: ImageServer,
    new_id: str,
    result_of: Callable[[Any], dict[str, Any]],
) -> None:
    oid = ObjectId()
    with Upstash(stack.redis_url) as upstash:
        variables = {
            "REDIS_URL": stack.redis_url,
            "UPSTASH_REDIS_REST_URL": upstash.url,
            "UPSTASH_REDIS_REST_TOKEN": upstash.token,
            "PREFIX": new_id,
            "IMAGE": images.add("/a.jpg", small_jpeg()),
            "OID": str(oid),
        }
        node = str(node_modules() / "node-newer" / "bin" / "node") if newer else "node"
        ids = run_js(PRELUDE + ENQUEUE, node=node, **variables)
    assert len(ids) == 8
    for image_id in [*ids, oid]:
        assert result_of(image_id)["embedding_job"]["status"] == "done"
