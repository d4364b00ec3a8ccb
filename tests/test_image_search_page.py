"""Every step of docs/image-search.md works: its code is run in Node, with the API and a worker."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.api import KEY, running_api
from tests.support.commands import COMMAND, complete
from tests.support.pictures import small_jpeg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.collection import Collection

    from producer.local.stack import Stack
    from tests.support.api import Api
    from tests.support.servers import ImageServer

PAGE = (Path(__file__).parents[1] / "docs/image-search.md").read_text()
BEFORE, CHANGED_HOST, ADD_IMAGE, SEARCH = re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL)
[BACKFILL] = re.findall(r"```\n(clipqueue .*?)\n```", PAGE)
OLD_HOST = "https://api-inference.huggingface.co"
DIM = 48  # of the fake encoder

Document = dict[str, Any]


@pytest.fixture(scope="module")
def api(stack: Stack, worker_log: Path) -> Iterator[Api]:
    # The page names the default model, and this worker has another one.
    with running_api(REDIS_URL=stack.redis_url, MONGODB_URI=stack.mongodb_uri, api_any_model=True) as api:
        yield api


def run_node(code: str, call: str, api: Api, tmp_path: Path, **env: str) -> Any:
    """Run the page's code and a call of its function; return what the call returned, or its error's message."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    script = tmp_path / "step.mjs"
    script.write_text(
        f"{code}\ntry {{ console.log(JSON.stringify({{ value: await {call} ?? null }})); }}"
        "\ncatch (error) { console.log(JSON.stringify({ error: error.message })); }\n"
    )
    environment = {**os.environ, "CLIPQUEUE_URL": api.url, "CLIPQUEUE_KEY": KEY, **env}
    done = subprocess.run([node, script], env=environment, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def embedding_call(content: bytes) -> str:
    return f"getImageEmbedding({json.dumps(base64.b64encode(content).decode())})"


def test_with_the_host_replaced_the_old_call_returns_the_vector(api: Api, tmp_path: Path) -> None:
    """Nothing but the host changes: the key is the one that the backend sends as HF_TOKEN."""
    assert BEFORE.count(OLD_HOST) == 1
    code = BEFORE.replace(OLD_HOST, api.url)
    [vector] = run_node(code, embedding_call(small_jpeg()), api, tmp_path, HF_TOKEN=KEY).values()
    assert len(vector) == DIM
    assert sum(number * number for number in vector) == pytest.approx(1, abs=1e-3)


def test_the_changed_call_returns_the_vector_and_throws_what_went_wrong(api: Api, tmp_path: Path) -> None:
    [vector] = run_node(CHANGED_HOST, embedding_call(small_jpeg()), api, tmp_path).values()
    assert len(vector) == DIM
    wrong_key = run_node(CHANGED_HOST, embedding_call(small_jpeg()), api, tmp_path, CLIPQUEUE_KEY="wrong")
    assert wrong_key.keys() == {"error"}
    assert "no valid key" in wrong_key["error"]


def test_an_added_image_gets_its_vector_and_is_found(
    api: Api,
    images: ImageServer,
    collection: Collection[Document],
    result_of: Callable[[Any], Document],
    tmp_path: Path,
    new_id: str,
) -> None:
    url = images.add("/a.jpg", small_jpeg())
    assert run_node(ADD_IMAGE, f"addImage({json.dumps(new_id)}, {json.dumps(url)})", api, tmp_path) == {"value": None}
    assert len(result_of(new_id)["embedding"]) == DIM
    hits = run_node(SEARCH, 'search("a cat & a dog")', api, tmp_path)["value"]
    assert all(hit["id"] and -1.01 < hit["score"] < 1.01 for hit in hits)
    refused = run_node(ADD_IMAGE, f"addImage({json.dumps(new_id)}, 'cat.jpg')", api, tmp_path)
    assert "must start with http" in refused["error"]


def test_the_backfill_replaces_random_vectors(
    stack: Stack,
    worker_log: Path,
    images: ImageServer,
    collection: Collection[Document],
    result_of: Callable[[Any], Document],
    new_id: str,
) -> None:
    url = images.add("/b.jpg", small_jpeg())
    collection.insert_one({"_id": new_id, "url": url, "embedding": [0.5, 0.25]})
    env = {"REDIS_URL": stack.redis_url, "MONGODB_URI": stack.mongodb_uri}
    done = complete([*COMMAND, *BACKFILL.split()[1:], "--query", json.dumps({"_id": new_id})], env)
    assert done.returncode == 0, done.stderr
    assert len(result_of(new_id)["embedding"]) == DIM
