"""`POST /v1/embeddings` and `GET /v1/models`."""

from __future__ import annotations

import base64
import json
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from producer.contract.names import QUERIES, QUERY_KEY
from producer.contract.queries import Answer, answer_json
from tests.producer.api.conftest import DIM, MODEL, SILENT_MODEL
from tests.support.pictures import small_jpeg
from tests.support.servers import Answer as HttpAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from tests.support.api import Api
    from tests.support.servers import ImageServer

JPEG = base64.b64encode(small_jpeg(1)).decode()
DATA_URI = f"data:image/jpeg;base64,{JPEG}"


def embed(api: Api, body: Any) -> Any:
    answer = api.post("/v1/embeddings", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(api: Api, body: Any, status: int = 400) -> Any:
    answer = api.post("/v1/embeddings", json=body)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return error


def test_a_text_has_a_unit_vector(api: Api) -> None:
    body = embed(api, {"model": "clip", "input": "a red bicycle", "user": "someone"})
    assert body["object"] == "list"
    assert body["model"] == MODEL
    [one] = body["data"]
    assert (one["object"], one["index"], len(one["embedding"])) == ("embedding", 0, DIM)
    assert sum(number * number for number in one["embedding"]) == pytest.approx(1, abs=1e-4)
    assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"] > 0


def test_base64_holds_the_same_floats(api: Api) -> None:
    [floats] = embed(api, {"input": "a cat"})["data"]
    [text] = embed(api, {"input": "a cat", "encoding_format": "base64"})["data"]
    [jina] = embed(api, {"input": "a cat", "embedding_type": "base64"})["data"]
    assert list(struct.unpack(f"<{DIM}f", base64.b64decode(text["embedding"]))) == floats["embedding"]
    assert jina == text


def test_vectors_come_in_the_order_of_the_inputs(api: Api) -> None:
    texts = [f"a picture of {number} birds" for number in range(32)]
    body = embed(api, {"input": texts})
    assert [one["index"] for one in body["data"]] == list(range(32))
    for number in (0, 17, 31):
        assert embed(api, {"input": texts[number]})["data"][0]["embedding"] == body["data"][number]["embedding"]


def test_all_ways_to_send_an_image_give_one_vector(api: Api, images: ImageServer) -> None:
    url = images.add("/a.jpg", small_jpeg(1))
    bodies: list[Any] = [
        {"input": DATA_URI},
        {"input": DATA_URI, "modality": "image"},
        {"input": [url], "modality": "image"},
        {"input": JPEG, "modality": "image"},
        {"input": [{"image": url}]},
        {"input": {"image": JPEG}},
        {"input": [{"url": url}]},
        {"input": [{"bytes": JPEG}]},
    ]
    vectors = [embed(api, body)["data"][0]["embedding"] for body in bodies]
    assert all(vector == pytest.approx(vectors[0], abs=1e-6) for vector in vectors)


def test_one_list_mixes_texts_and_images(api: Api) -> None:
    body = embed(api, {"model": "default", "input": [{"text": "a cat"}, {"image": DATA_URI}, "a cat"]})
    first, image, last = (one["embedding"] for one in body["data"])
    assert first == last != image


def test_a_url_is_a_text_unless_the_request_says_otherwise(api: Api, images: ImageServer) -> None:
    url = images.add("/b.jpg", small_jpeg(2))
    embed(api, {"input": url})
    assert images.hits["/b.jpg"] == 0


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "input", "invalid_request"),
        ({"input": None}, "input", "invalid_request"),
        ({"input": ""}, "input", "invalid_request"),
        ({"input": []}, "input", "invalid_request"),
        ({"input": ["a", ""]}, "input[1]", "invalid_request"),
        ({"input": ["a", 5]}, "input[1]", "invalid_request"),
        ({"input": ["a"] * 33}, "input", "invalid_request"),
        ({"input": [DATA_URI] * 17}, "input", "invalid_request"),
        ({"input": "a" * 8193}, "input", "invalid_request"),
        ({"input": "\ud800"}, "input", "invalid_request"),
        ({"input": [101, 2009]}, "input", "token_arrays_unsupported"),
        ({"input": [[101, 2009]]}, "input", "token_arrays_unsupported"),
        ({"input": [{"image": "a cat"}]}, "input[0].image", "invalid_request"),
        ({"input": [{"image": base64.b64encode(b"no image at all").decode()}]}, "input[0].image", "invalid_request"),
        ({"input": [{"image": "ftp://e.com/a.jpg"}]}, "input[0].image", "invalid_request"),
        ({"input": [{"text": "a", "image": DATA_URI}]}, "input[0]", "invalid_request"),
        ({"input": "data:image/png;base64,@@@@"}, "input", "invalid_request"),
        ({"input": "a", "dimensions": 7}, "dimensions", "dimensions_unsupported"),
        ({"input": "a", "encoding_format": "binary"}, "encoding_format", "invalid_request"),
        ({"input": "a", "modality": "audio"}, "modality", "invalid_request"),
        ({"input": "word " * 90, "truncate": False}, "input", "text_too_long"),
    ],
)
def test_what_cannot_be_embedded_is_refused(api: Api, body: Any, param: str, code: str) -> None:
    error = refused(api, body)
    assert (error["param"], error["code"], error["type"]) == (param, code, "invalid_request_error")


def test_token_arrays_are_refused_with_the_setting_of_langchain(api: Api) -> None:
    assert "check_embedding_ctx_length=False" in refused(api, {"input": [101, 2009]})["message"]


def test_the_models_own_number_of_dimensions_is_accepted(api: Api) -> None:
    assert len(embed(api, {"input": "a", "dimensions": DIM})["data"][0]["embedding"]) == DIM


def test_an_image_that_is_not_there_has_the_workers_code(api: Api, images: ImageServer) -> None:
    url = images.add("/gone.jpg", HttpAnswer(b"", 404)) + "?sig=secret"
    error = refused(api, {"input": ["a", {"image": url}]}, status=422)
    assert (error["code"], error["param"]) == ("http_404", "input[1]")
    assert "secret" not in error["message"]


def test_an_unknown_model_is_not_found(api: Api) -> None:
    error = refused(api, {"model": "text-embedding-3-small", "input": "a"}, status=404)
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert MODEL in error["message"]


def test_without_a_worker_a_client_is_told_to_come_back(lonely_api: Api) -> None:
    answer = lonely_api.post("/v1/embeddings", json={"input": "a"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["error"]["code"] == "no_worker"


def test_models_lists_the_live_ones_with_their_names(api: Api, lonely_api: Api) -> None:
    [model] = api.get("/v1/models").json()["data"]
    assert model.items() >= {"id": MODEL, "object": "model", "owned_by": "clipqueue", "dim": DIM}.items()
    assert model["aliases"] == ["clip", "default"]
    assert model["workers"] == 1
    assert lonely_api.get("/v1/models").json() == {"object": "list", "data": []}
    assert api.post("/v1/embeddings", json={"model": MODEL, "input": "a"}).status_code == 200


def test_a_text_is_asked_once_and_remembered(
    silent_api: Api, silent_queue: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is played here answers each query with its number, so that the vectors tell them apart."""
    monkeypatch.setattr("producer.api.vectors._REMEMBERED", 2)
    with answering(silent_queue):
        first = embed(silent_api, {"input": "a cat"})
        assert embed(silent_api, {"input": "  a \n cat "}) == first
        others = [embed(silent_api, {"input": text}) for text in ("a dog", "a cow")]
        assert first not in others
        assert embed(silent_api, {"input": "a cow"}) == others[1]
        assert embed(silent_api, {"input": "a cat"}) != first, "the oldest of three was forgotten"
        assert embed(silent_api, {"input": "a cat", "truncate": False}) != embed(silent_api, {"input": "a cat"})


@contextmanager
def answering(queue: redis.Redis) -> Iterator[None]:
    """Answer the queries of the silent model in a thread: the n-th one with a vector that begins with n."""
    stop = threading.Event()

    def answer() -> None:
        number = 0
        while not stop.is_set():
            taken: Any = queue.brpop([f"{QUERIES}:{SILENT_MODEL}"], 0.1)
            if taken is None:
                continue
            number += 1
            request: Any = json.loads(queue.getdel(QUERY_KEY + taken[1].decode()))  # type: ignore[arg-type]
            vector = struct.pack("<2f", number, 0)
            queue.rpush(request["reply"], answer_json(request["id"], Answer(SILENT_MODEL, 2, 1, vector)))

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_curl_needs_no_header_for_json(api: Api) -> None:
    """`curl -d` says that its body is a form."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = api.post("/v1/embeddings", data='{"model": "clip", "input": "a cat"}', headers=headers)
    assert answer.status_code == 200
