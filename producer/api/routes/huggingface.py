"""The paths of Hugging Face's Inference API, so that a program that called it changes only the host.

An answer is a bare list: flat for one input, nested for a list. The status is never 503, which makes one of the clients
repeat its request at once and without end: a request without a worker is held, then answered with 504.
"""

import math
import time
from operator import mul
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from producer.api.failures import ApiError, bad_request
from producer.api.inputs import (
    IMAGE,
    MODALITIES,
    guess_modality,
    looks_like_image,
    query_of_bytes,
    query_of_object,
    query_of_string,
)
from producer.api.routes.common import MAX_IMAGES, MAX_INPUTS, Ours, read_json
from producer.api.services import Services
from producer.api.vectors import check_dim
from producer.contract.queries import Query

router = APIRouter(tags=["Hugging Face Inference API"])

_HOLD_S, _LONG_HOLD_S = 30.0, 60.0
_TEMPLATE = "This is a photo of {}."
_MAX_LABEL_CHARS = 1000
_LOGIT_SCALE = 100.0  # CLIP's, as learned
_SCHEMA: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {
                        "inputs": {
                            "anyOf": [{"type": kind} for kind in ("string", "object", "array")],
                            "description": "A text; an image as base64, `data:` URI or URL; or a list of at most 32.",
                        },
                        "parameters": {
                            "type": "object",
                            "description": "`candidate_labels` for zero-shot classification of an image; `modality`.",
                        },
                        "options": {"type": "object", "description": "`wait_for_model` holds for 60 s, not 30."},
                    },
                }
            },
            "image/*": {},
        },
    },
    "responses": {
        "200": {
            "description": "A vector, a list of vectors, or labels with scores.",
            "content": {"application/json": {"schema": {"type": "array"}}},
        }
    },
}


async def infer(model_id: str, request: Request, ours: Ours) -> JSONResponse:
    """Return the vector of a text or an image, or the scores of an image's labels."""
    body = await request.body()
    given = {"inputs": body} if looks_like_image(body) else _read(body)
    options, parameters = _object(given, "options"), _object(given, "parameters")
    is_long = options.get("wait_for_model") is True or request.headers.get("x-wait-for-model", "").lower() == "true"
    hold_s = _LONG_HOLD_S if is_long else _HOLD_S
    started = time.monotonic()
    model = await ours.vectors.find_model(model_id, hold_s=hold_s)
    left_s = hold_s - (time.monotonic() - started)
    if "candidate_labels" in parameters:
        return JSONResponse(await _classify(given["inputs"], parameters, model, left_s, ours))
    return JSONResponse(await _embed(given, parameters, model, left_s, ours))


for _prefix in ("", "/hf-inference"):
    for _path in ("/models/{model_id:path}/pipeline/feature-extraction", "/models/{model_id:path}"):
        router.add_api_route(_prefix + _path, infer, methods=["POST"], openapi_extra=_SCHEMA)
router.add_api_route("/pipeline/feature-extraction/{model_id:path}", infer, methods=["POST"], openapi_extra=_SCHEMA)


async def _embed(
    given: dict[str, Any], parameters: dict[str, Any], model: str, timeout_s: float, ours: Services
) -> Any:
    inputs = given["inputs"]
    modality = parameters.get("modality", given.get("modality"))
    if modality is not None and modality not in MODALITIES:
        raise bad_request("must be text or image", "modality")
    if any(one.get("normalize") not in (None, True) for one in (parameters, given)):
        raise bad_request("vectors have unit length: only true is possible", "normalize")
    dimensions = parameters.get("dimensions", given.get("dimensions"))
    if dimensions is not None and not isinstance(dimensions, int):
        raise bad_request("must be a whole number", "dimensions")
    queries = _queries(inputs if isinstance(inputs, list) else [inputs], modality, model)
    answers = await ours.vectors.ask_all(queries, timeout_s)
    check_dim(dimensions, answers)
    vectors = [answer.floats() for answer in answers]
    return vectors if isinstance(inputs, list) else vectors[0]


async def _classify(inputs: Any, parameters: dict[str, Any], model: str, timeout_s: float, ours: Services) -> Any:
    """Return the labels with their probabilities, the best first, as the zero-shot pipeline does."""
    labels = parameters["candidate_labels"]
    labels = [label.strip() for label in labels.split(",")] if isinstance(labels, str) else labels
    if not isinstance(labels, list) or not 0 < len(labels) <= MAX_INPUTS or not all(isinstance(x, str) for x in labels):
        raise bad_request(f"must be a list of 1 to {MAX_INPUTS} texts", "candidate_labels")
    if any(len(label) > _MAX_LABEL_CHARS for label in labels):
        raise bad_request(f"a label has more than {_MAX_LABEL_CHARS} characters", "candidate_labels")
    template = parameters.get("hypothesis_template", _TEMPLATE)
    if not isinstance(template, str) or "{}" not in template or len(template) > _MAX_LABEL_CHARS:
        raise bad_request(f"must be a text of at most {_MAX_LABEL_CHARS} characters with {{}}", "hypothesis_template")
    texts = [("candidate_labels", Query.text(template.replace("{}", label)[:8000], model)) for label in labels]
    image, *answers = await ours.vectors.ask_all(
        [("inputs", _query(inputs, IMAGE, model, "inputs")), *texts], timeout_s
    )
    pixels = image.floats()
    scores = _softmax([_LOGIT_SCALE * sum(map(mul, pixels, answer.floats())) for answer in answers])
    scored = [{"label": label, "score": score} for label, score in zip(labels, scores, strict=True)]
    return sorted(scored, key=lambda one: -one["score"])


def _read(body: bytes) -> dict[str, Any]:
    try:
        given = read_json(body)
    except ApiError:
        raise bad_request('the body is neither an image file nor JSON such as {"inputs": "a cat"}') from None
    if not isinstance(given, dict) or given.get("inputs") is None:
        raise bad_request('the JSON has no "inputs"')
    return given


def _object(given: dict[str, Any], name: str) -> dict[str, Any]:
    value = given.get(name)
    if value is not None and not isinstance(value, dict):
        raise bad_request("must be an object", name)
    return value or {}


def _queries(inputs: list[Any], modality: str | None, model: str) -> list[tuple[str, Query]]:
    if not 0 < len(inputs) <= MAX_INPUTS:
        raise bad_request(f"there must be 1 to {MAX_INPUTS} inputs, not {len(inputs)}")
    params = ["inputs"] if len(inputs) == 1 else [f"inputs[{number}]" for number in range(len(inputs))]
    queries = [(param, _query(one, modality, model, param)) for param, one in zip(params, inputs, strict=True)]
    if sum(query.kind == IMAGE for _, query in queries) > MAX_IMAGES:
        raise bad_request(f"at most {MAX_IMAGES} images in one request")
    return queries


def _query(one: Any, modality: str | None, model: str, param: str) -> Query:
    if isinstance(one, bytes):
        return query_of_bytes(one, model, param)
    if isinstance(one, dict):
        return query_of_object(one, model, param)
    if not isinstance(one, str):
        raise bad_request("must be a text, or an image as base64, data: URI or URL", param)
    return query_of_string(one, modality or guess_modality(one), model, param)


def _softmax(logits: list[float]) -> list[float]:
    most = max(logits)
    powers = [math.exp(logit - most) for logit in logits]
    return [power / sum(powers) for power in powers]
