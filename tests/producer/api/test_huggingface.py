"""The paths of Hugging Face's Inference API, and `/embed` as TEI has it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from producer.api.routes import huggingface
from tests.producer.api.conftest import DIM, MODEL
from tests.support.api import running_api
from tests.support.pictures import small_jpeg
from tests.support.servers import Answer

if TYPE_CHECKING:
    from pathlib import Path

    from producer.local.stack import Stack
    from tests.support.api import Api
    from tests.support.servers import ImageServer

JPEG = small_jpeg(3)
BASE64 = base64.b64encode(JPEG).decode()
PATHS = [
    f"/models/{MODEL}",
    "/models/clip",
    f"/models/{MODEL}/pipeline/feature-extraction",
    f"/hf-inference/models/{MODEL}",
    f"/hf-inference/models/{MODEL}/pipeline/feature-extraction",
    f"/pipeline/feature-extraction/{MODEL}",
]


def infer(api: Api, body: Any, path: str = "/models/clip") -> Any:
    answer = api.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("path", PATHS)
def test_all_its_paths_answer(api: Api, path: str) -> None:
    assert len(infer(api, {"inputs": "a cat"}, path)) == DIM


def test_one_text_is_flat_and_a_list_is_nested(api: Api) -> None:
    one = infer(api, {"inputs": "a cat"})
    assert infer(api, {"inputs": ["a cat", "a dog"]})[0] == one
    assert infer(api, {"inputs": ["a cat"]}) == [one]


def test_all_ways_to_send_an_image_give_one_vector(api: Api, images: ImageServer) -> None:
    url = images.add("/a.jpg", JPEG)
    bodies: list[Any] = [
        {"inputs": BASE64, "options": {"wait_for_model": True}},
        {"inputs": f"data:image/jpeg;base64,{BASE64}"},
        {"inputs": url},
        {"inputs": {"image": BASE64}},
        {"inputs": BASE64, "parameters": {"modality": "image"}},
    ]
    vectors = [infer(api, body) for body in bodies]
    raw = [
        api.post("/models/clip", data=JPEG, headers=headers).json()
        for headers in ({}, {"content-type": "image/jpeg"}, {"content-type": "application/json"})
    ]
    assert all(vector == pytest.approx(vectors[0], abs=1e-6) for vector in [*vectors, *raw])


def test_a_text_that_looks_like_an_image_can_be_sent_as_a_text(api: Api) -> None:
    assert infer(api, {"inputs": BASE64[:80], "modality": "text"}) != infer(api, {"inputs": BASE64})


@pytest.mark.parametrize("wrapped", [True, False])
def test_labels_of_an_image_have_probabilities(api: Api, *, wrapped: bool) -> None:
    """The clients of Python and JavaScript send the image in two ways."""
    inputs = {"image": BASE64} if wrapped else BASE64
    scores = infer(api, {"inputs": inputs, "parameters": {"candidate_labels": ["a cat", "a dog", "noise"]}})
    assert {one["label"] for one in scores} == {"a cat", "a dog", "noise"}
    assert sum(one["score"] for one in scores) == pytest.approx(1)
    assert scores == sorted(scores, key=lambda one: -one["score"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b'{"inputs": null}',
        b'{"inputs": ""}',
        b'{"inputs": []}',
        b'{"inputs": [5]}',
        b'{"inputs": {"audio": "a"}}',
        b'{"inputs": "a", "parameters": 5}',
        b'{"inputs": "a", "parameters": {"modality": "audio"}}',
        b'{"inputs": "a", "parameters": {"normalize": false}}',
        b'{"inputs": "a", "dimensions": 5}',
        b'{"inputs": "a", "parameters": {"candidate_labels": []}}',
        b'{"inputs": "a cat", "parameters": {"candidate_labels": ["a"]}}',
        b'{"inputs": "a\\ud800"}',
        b"GIF89a no image",
    ],
)
def test_what_cannot_be_used_has_an_error_that_is_a_text(api: Api, body: bytes) -> None:
    answer = api.post("/models/clip", data=body, headers={"content-type": "application/json"})
    assert answer.status_code in {400, 422}
    assert answer.json().keys() == {"error"}
    assert isinstance(answer.json()["error"], str)


def test_an_unknown_model_is_not_found(api: Api) -> None:
    """Vectors of another model would be wrong, and nobody would notice."""
    answer = api.post("/models/openai/clip-vit-base-patch32", json={"inputs": "a cat"})
    assert answer.status_code == 404
    assert "openai/clip-vit-base-patch32" in answer.json()["error"]


def test_any_model_answers_where_the_operator_allows_it(stack: Stack, worker_log: Path) -> None:
    with running_api(REDIS_URL=stack.redis_url, MONGODB_URI=stack.mongodb_uri, api_any_model=True) as api:
        assert len(infer(api, {"inputs": "a cat"}, "/models/openai/clip-vit-base-patch32")) == DIM


def test_without_a_worker_a_request_is_held_and_never_answered_with_503(
    lonely_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """@huggingface/inference repeats a request that is answered with 503 at once, and without end."""
    monkeypatch.setattr(huggingface, "_HOLD_S", 0.2)
    answer = lonely_api.post("/models/clip", json={"inputs": "a cat"})
    assert answer.status_code == 504
    assert "start one" in answer.json()["error"]


def test_a_worker_that_does_not_answer_ends_the_request_with_504(
    silent_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface, "_LONG_HOLD_S", 0.5)
    answer = silent_api.post("/models/fake/silent", json={"inputs": "a", "options": {"wait_for_model": True}})
    assert answer.status_code == 504
    assert "no worker answered" in answer.json()["error"]


def test_an_image_that_is_not_there_names_the_reason(api: Api, images: ImageServer) -> None:
    answer = api.post("/models/clip", json={"inputs": images.add("/gone.jpg", Answer(b"", 404)) + "?sig=secret"})
    assert answer.status_code == 422
    assert "404" in answer.json()["error"]
    assert "secret" not in answer.text


def test_tei_answers_with_a_list_of_lists(api: Api) -> None:
    one = infer(api, {"inputs": "a cat"}, "/embed")
    assert [len(vector) for vector in one] == [DIM]
    assert infer(api, {"inputs": ["a dog", "a cat"]}, "/")[1] == one[0]
    assert api.get("/info").json()["model_id"] == MODEL
    health = api.get("/health", headers={"authorization": ""})
    assert (health.status_code, health.content) == (200, b"")


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"inputs": []}, 400, "empty"),
        ({"inputs": ""}, 400, "empty"),
        ({"inputs": ["a"] * 33}, 413, "validation"),
        ({"inputs": [5]}, 422, "validation"),
        ({"inputs": "a", "normalize": False}, 422, "validation"),
        ({"inputs": "word " * 90}, 413, "validation"),
    ],
)
def test_tei_refuses_in_its_own_words(api: Api, body: Any, status: int, kind: str) -> None:
    answer = api.post("/embed", json=body)
    assert (answer.status_code, answer.json()["error_type"]) == (status, kind)
    assert isinstance(answer.json()["error"], str)


def test_tei_is_unhealthy_without_a_worker(lonely_api: Api) -> None:
    assert lonely_api.get("/health").status_code == 503
    answer = lonely_api.post("/embed", json={"inputs": "a"})
    assert (answer.status_code, answer.json()["error_type"]) == (503, "unhealthy")
