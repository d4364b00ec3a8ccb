"""`POST /embed`, `GET /info` and `GET /health` as Hugging Face's Text Embeddings Inference has them."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from producer.api.failures import ApiError
from producer.api.inputs import query_of_string
from producer.api.routes.common import MAX_INPUTS, MODEL, Body, Ours
from producer.api.vectors import check_dim

router = APIRouter(tags=["Text Embeddings Inference"])

_TEXTS = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
    ]
}


class EmbedRequest(Body):
    """The texts to embed."""

    inputs: Annotated[Any, Field(json_schema_extra=_TEXTS)] = Field(description="A text, or a list of at most 32.")
    truncate: bool = Field(False, description="Cut texts that are longer than the model's context.")
    normalize: bool = Field(True, description="Only true is possible: vectors have unit length.")
    dimensions: int | None = Field(None, ge=0, description="Only the model's own number is possible.")


@router.post("/embed")
async def embed(request: EmbedRequest, ours: Ours) -> list[list[float]]:
    """Return the vectors of texts: a list of lists, also for one text."""
    texts = request.inputs if isinstance(request.inputs, list) else [request.inputs]
    if not texts or "" in texts:
        raise ApiError(400, "empty", "`inputs` cannot be empty")
    if len(texts) > MAX_INPUTS:
        raise ApiError(413, "batch", f"batch size {len(texts)} > maximum allowed batch size {MAX_INPUTS}")
    if not all(isinstance(text, str) for text in texts):
        raise ApiError(422, "validation", "`inputs` must be a text or a list of texts")
    if not request.normalize:
        raise ApiError(422, "validation", "vectors have unit length: `normalize` cannot be false")
    model = await ours.vectors.find_model(MODEL)
    queries = [
        (f"inputs[{n}]", query_of_string(t, "text", model, "", truncate=request.truncate)) for n, t in enumerate(texts)
    ]
    answers = await ours.vectors.ask_all(queries)
    check_dim(request.dimensions, answers)
    return [answer.floats() for answer in answers]


@router.post("/", include_in_schema=False)
async def embed_at_root(request: EmbedRequest, ours: Ours) -> list[list[float]]:
    """Do what `/embed` does; some of TEI's clients post here."""
    return await embed(request, ours)


@router.get("/info")
async def info(ours: Ours) -> dict[str, Any]:
    """Return which model answers, and its limits."""
    live = await ours.vectors.models()
    model_id = await ours.vectors.find_model(MODEL)
    [model] = [one for one in live if one.model == model_id]
    return {
        "model_id": model.model,
        "model_type": {"embedding": {"pooling": "last_token"}},
        "max_input_length": model.context_length,
        "max_client_batch_size": MAX_INPUTS,
    }


@router.get("/health", response_class=Response)
async def health(ours: Ours) -> Response:
    """Return 200 with an empty body if a worker can answer."""
    await ours.vectors.find_model(MODEL)
    return Response()
