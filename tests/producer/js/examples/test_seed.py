"""The backend that the project began with: its call of the Hugging Face API, before and after."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.api import KEY, running_api
from tests.support.js_package import SOURCE
from tests.support.pictures import small_jpeg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from producer.local.stack import Stack
    from tests.support.api import Api
    from tests.support.servers import ImageServer

BEFORE = (SOURCE / "examples/seed/before/embeddingsPy.js").read_text()
AFTER = (SOURCE / "examples/seed/after/embeddingsPy.js").read_text()
PAGE = (Path(__file__).parents[4] / "docs/image-search.md").read_text()
OLD_HOST = "https://api-inference.huggingface.co"
DIM = 48  # of the fake encoder


@pytest.fixture(scope="module")
def api(stack: Stack, worker_log: Path) -> Iterator[Api]:
    # The call names the default model, and this worker has another one.
    with running_api(REDIS_URL=stack.redis_url, MONGODB_URI=stack.mongodb_uri, api_any_model=True) as api:
        yield api


@pytest.fixture
def embed(run_js: Callable[..., Any], api: Api) -> Callable[..., Any]:
    """A function that calls `getImageEmbedding` of this code; it returns the vector, or the message of the error."""

    def run(code: str, **variables: str) -> Any:
        call = f"getImageEmbedding({json.dumps(base64.b64encode(small_jpeg()).decode())})"
        script = f"{code}\nconsole.log(JSON.stringify(await {call}.catch((error) => error.message)));"
        return run_js(script, **{"CLIPQUEUE_URL": api.url, "CLIPQUEUE_KEY": KEY, **variables})

    return run


def test_the_code_before_is_that_of_the_page() -> None:
    [first, *_] = re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL)
    assert first in BEFORE


def test_both_return_the_same_vector(embed: Callable[..., Any], api: Api) -> None:
    """Before: only the host is another. The key is the one that the backend sends as HF_TOKEN."""
    before = embed(BEFORE.replace(OLD_HOST, api.url), HF_TOKEN=KEY)
    after = embed(AFTER)
    assert len(after) == DIM
    assert after == pytest.approx(before, abs=1e-6)


def test_an_error_is_no_vector(embed: Callable[..., Any], api: Api) -> None:
    assert "error" in embed(BEFORE.replace(OLD_HOST, api.url), HF_TOKEN="wrong")  # what the backend then stores
    assert "no valid key" in embed(AFTER, CLIPQUEUE_KEY="wrong")


def test_an_added_image_gets_its_vector_without_a_wait(
    run_js: Callable[..., Any], api: Api, images: ImageServer, result_of: Callable[[Any], Any], new_id: str
) -> None:
    url = images.add("/added.jpg", small_jpeg())
    script = f"{AFTER}\nconsole.log(JSON.stringify(await addImage({json.dumps(new_id)}, {json.dumps(url)})));"
    assert run_js(script, CLIPQUEUE_URL=api.url, CLIPQUEUE_KEY=KEY)["status"] == "pending"
    assert len(result_of(new_id)["embedding"]) == DIM
