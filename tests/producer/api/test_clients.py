"""Real clients, unmodified: only the address is changed. What each gets, and what each is told when it fails."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub
import pytest

from producer.api.routes import huggingface
from producer.contract.names import QUERIES
from tests.producer.api.conftest import DIM, MODEL, SILENT_MODEL
from tests.support.api import KEY, Api, running_api
from tests.support.node_packages import node_modules
from tests.support.pictures import small_jpeg
from tests.support.servers import Answer
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    import openai
    import redis

    from producer.local.stack import Stack
    from tests.support.servers import ImageServer

JPEG = small_jpeg(3)
BASE64 = base64.b64encode(JPEG).decode()
DATA_URI = f"data:image/jpeg;base64,{BASE64}"
PAGE = (Path(__file__).parents[3] / "docs" / "image-search.md").read_text()
OLD_HOST = "https://api-inference.huggingface.co"


@pytest.fixture(scope="module")
def clip_api(stack: Stack, worker_log: Path) -> Iterator[Api]:
    """An API that answers to CLIP's name with the vectors of the tests' model."""
    with running_api(REDIS_URL=stack.redis_url, MONGODB_URI=stack.mongodb_uri, api_any_model=True) as api:
        yield api


def openai_client(api: Api, key: str = KEY) -> openai.OpenAI:
    import openai  # noqa: PLC0415  (at the top it would be imported in every process of a test run)

    return openai.OpenAI(base_url=f"{api.url}/v1", api_key=key, max_retries=0, timeout=20)


def run_node(api: Api, folder: Path, script: str, **variables: str) -> Any:
    """Run a script that prints one JSON value, and return that."""
    node = shutil.which("node")
    modules = node_modules()
    (folder / "node_modules").symlink_to(modules)
    (folder / "script.mjs").write_text(script)
    env = {"HOST": api.url, "HF_TOKEN": KEY, "OPENAI_API_KEY": KEY, "IMAGE": BASE64}
    env |= {"CLIPQUEUE_URL": api.url, "CLIPQUEUE_KEY": KEY, **variables}
    done = subprocess.run(
        [str(node), "script.mjs"], cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_openai_for_python(api: Api) -> None:
    with openai_client(api) as client:
        default = client.embeddings.create(model="clip", input=["a cat", "a dog"])
        floats = client.embeddings.create(model=MODEL, input="a dog", encoding_format="float")
        image = client.embeddings.create(model="clip", input=DATA_URI, extra_body={"modality": "image"})
        assert [len(one.embedding) for one in default.data] == [DIM, DIM]
        assert default.data[1].embedding == pytest.approx(floats.data[0].embedding)
        assert len(image.data[0].embedding) == DIM
        assert [model.id for model in client.models.list()] == [MODEL]


def test_openai_for_python_understands_each_error(api: Api, lonely_api: Api, images: ImageServer) -> None:
    import openai  # noqa: PLC0415  (as above)

    with openai_client(api) as client:
        with pytest.raises(openai.NotFoundError) as unknown:
            client.embeddings.create(model="text-embedding-3-small", input="a")
        assert unknown.value.code == "model_not_found"
        gone = images.add("/gone.jpg", Answer(b"", 404))
        with pytest.raises(openai.UnprocessableEntityError) as failed:
            client.embeddings.create(model="clip", input=gone, extra_body={"modality": "image"})
        assert (failed.value.code, failed.value.param) == ("http_404", "input")
        with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length"):
            client.embeddings.create(model="clip", input=[101, 2009])
    with openai_client(api, "no-such-key-0123456789") as stranger, pytest.raises(openai.AuthenticationError):
        stranger.embeddings.create(model="clip", input="a")
    with openai_client(lonely_api) as lonely, pytest.raises(openai.InternalServerError, match="start one") as away:
        lonely.embeddings.create(model="clip", input="a")
    assert away.value.request_id == away.value.response.headers["x-request-id"]


def test_clients_for_python_are_told_of_an_overload(stack: Stack, silent_queue: redis.Redis) -> None:
    """The queue holds a query already, and may hold one."""
    import openai  # noqa: PLC0415  (as above)

    silent_queue.lpush(f"{QUERIES}:{SILENT_MODEL}", "0" * 16)
    redis_url = stack.redis_url.removesuffix("0") + "7"
    with running_api(REDIS_URL=redis_url, MONGODB_URI=stack.mongodb_uri, queries_max=1) as full:
        with openai_client(full) as client, pytest.raises(openai.RateLimitError) as caught:
            client.embeddings.create(model="clip", input="a cat")
        assert (caught.value.code, caught.value.response.headers["retry-after"]) == ("overloaded", "1")
        hub = huggingface_hub.InferenceClient(model=f"{full.url}/models/clip", token=KEY)
        with pytest.raises(huggingface_hub.errors.HfHubHTTPError) as refused:
            hub.feature_extraction("a cat")
        assert refused.value.response.status_code == 429


def test_huggingface_hub(api: Api, clip_api: Api) -> None:
    client = huggingface_hub.InferenceClient(model=f"{clip_api.url}/models/openai/clip-vit-base-patch32", token=KEY)
    assert client.feature_extraction("a cat").shape == (DIM,)
    assert client.feature_extraction(["a cat", "a dog"]).shape == (2, DIM)
    assert client.feature_extraction(BASE64).shape == (DIM,)
    labels = client.zero_shot_image_classification(JPEG, candidate_labels=["a cat", "noise"])
    assert sum(label.score for label in labels) == pytest.approx(1)


def test_huggingface_hub_is_told_why(api: Api, lonely_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface, "_HOLD_S", 0.1)
    for url, key, status in (
        (f"{api.url}/models/openai/clip-vit-base-patch32", KEY, 404),
        (f"{api.url}/models/clip", "no-such-key-0123456789", 401),
        (f"{lonely_api.url}/models/clip", KEY, 504),
    ):
        with pytest.raises(huggingface_hub.errors.HfHubHTTPError) as caught:
            huggingface_hub.InferenceClient(model=url, token=key).feature_extraction("a cat")
        assert caught.value.response.status_code == status


def test_openai_for_node(api: Api, images: ImageServer, tmp_path: Path) -> None:
    """It asks for base64 when the program names no format, and takes floats for base64 too."""
    script = """
    import OpenAI from "openai";
    const client = new OpenAI({ baseURL: `${process.env.HOST}/v1`, maxRetries: 0 });
    const embed = async (body) => (await client.embeddings.create({ model: "clip", ...body })).data[0].embedding;
    const failed = (e) => [e.status, e.code, e.param];
    const failure = async (body) => { try { await embed(body) } catch (e) { return failed(e) } };
    const stranger = new OpenAI({ baseURL: `${process.env.HOST}/v1`, apiKey: "no-such-key-0123456789" });
    const models = [];
    for await (const model of client.models.list()) models.push(model.id);
    console.log(JSON.stringify({
      text: await embed({ input: "a cat" }),
      floats: await embed({ input: "a cat", encoding_format: "float" }),
      image: await embed({ input: [{ image: process.env.IMAGE }] }),
      modality: await embed({ input: process.env.IMAGE, modality: "image" }),
      unknown: await failure({ model: "other", input: "a" }),
      empty: await failure({ input: "" }),
      gone: await failure({ input: process.env.GONE, modality: "image" }),
      key: await stranger.embeddings.create({ model: "clip", input: "a" }).catch(failed),
      models,
    }));
    """
    found = run_node(api, tmp_path, script, GONE=images.add("/gone.jpg", Answer(b"", 404)))
    assert len(found["text"]) == len(found["image"]) == DIM
    assert found["text"] == pytest.approx(found["floats"])
    assert found["image"] == pytest.approx(found["modality"], abs=1e-6)
    assert found["unknown"] == [404, "model_not_found", "model"]
    assert found["empty"] == [400, "invalid_request", "input"]
    assert found["gone"] == [422, "http_404", "input"]
    assert found["key"] == [401, "invalid_api_key", None]
    assert found["models"] == [MODEL]


def test_huggingface_inference_for_node(api: Api, tmp_path: Path) -> None:
    script = """
    import { InferenceClient } from "@huggingface/inference";
    const at = (path, token = process.env.HF_TOKEN) =>
      new InferenceClient(token, { endpointUrl: process.env.HOST + path });
    const blob = new Blob([Buffer.from(process.env.IMAGE, "base64")], { type: "image/jpeg" });
    const failure = async (call) => { try { await call } catch (e) { return e.message } };
    const client = at("/models/clip");
    console.log(JSON.stringify({
      text: await client.featureExtraction({ inputs: "a cat", parameters: { normalize: true } }),
      texts: await client.featureExtraction({ inputs: ["a cat", "a dog"] }),
      image: await client.featureExtraction({ inputs: process.env.IMAGE }),
      blob: await client.featureExtraction({ data: blob }),
      labels: await client.zeroShotImageClassification({
        inputs: { image: blob }, parameters: { candidate_labels: ["a cat", "noise"] },
      }),
      unknown: await failure(at("/models/other").featureExtraction({ inputs: "a" })),
      key: await failure(at("/models/clip", "no-such-key-0123456789").featureExtraction({ inputs: "a" })),
    }));
    """
    found = run_node(api, tmp_path, script)
    assert len(found["text"]) == DIM
    assert found["texts"][0] == pytest.approx(found["text"])
    assert found["blob"] == pytest.approx(found["image"], abs=1e-6)
    assert {one["label"] for one in found["labels"]} == {"a cat", "noise"}
    assert "'other' is not served here" in found["unknown"]
    assert "no valid key" in found["key"]


def test_a_client_that_repeats_without_end_is_not_made_to(
    lonely_api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """@huggingface/inference repeats a request at once for as long as it is answered with 503."""
    monkeypatch.setattr(huggingface, "_HOLD_S", 0.1)
    caplog.set_level("INFO", logger="clipqueue.api")
    script = """
    import { InferenceClient } from "@huggingface/inference";
    const client = new InferenceClient(process.env.HF_TOKEN, { endpointUrl: process.env.HOST + "/models/clip" });
    try { await client.featureExtraction({ inputs: "a" }) } catch (e) { console.log(JSON.stringify(e.message)) }
    """
    assert "no live worker" in run_node(lonely_api, tmp_path, script)

    def answered() -> list[str]:
        return [line for record in caplog.records if "POST /models/clip 504" in (line := record.getMessage())]

    wait_for(answered, "the log line, which follows the answer")
    assert len(answered()) == 1


def test_a_backend_that_called_hugging_face_changes_only_the_host(clip_api: Api, tmp_path: Path) -> None:
    """Both functions of docs/image-search.md: the one of such a backend, with another host, and the one to write."""
    before, after = re.findall(r"```js\n(export async function getImageEmbedding.*?)```", PAGE, re.DOTALL)
    assert OLD_HOST in before
    body = {"model": "clip", "input": [{"image": BASE64}]}
    expected = clip_api.post("/v1/embeddings", json=body).json()["data"][0]["embedding"]
    for name, function in (("before", before.replace(OLD_HOST, clip_api.url)), ("after", after)):
        folder = tmp_path / name
        folder.mkdir()
        script = f"{function}\nconsole.log(JSON.stringify(await getImageEmbedding(process.env.IMAGE)));"
        vector = run_node(clip_api, folder, script)
        assert vector == pytest.approx(expected, abs=1e-6)
    assert len(expected) == DIM
