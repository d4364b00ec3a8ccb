"""`POST /v1/embeddings` and `GET /v1/models` as OpenAI has them, with images as infinity and Jina have them."""

import base64
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from producer.api.failures import bad_request
from producer.api.inputs import IMAGE, is_data_uri, query_of_object, query_of_string
from producer.api.routes.common import MAX_IMAGES, MAX_INPUTS, MODEL, Body, Ours
from producer.api.vectors import check_dim
from producer.contract.queries import Answer, Query

router = APIRouter(prefix="/v1", tags=["Embeddings"])

_OBJECT = {
    "type": "object",
    "minProperties": 1,
    "properties": {name: {"type": "string", "minLength": 1} for name in ("text", "image", "url", "bytes")},
}
_ONE = [{"type": "string", "minLength": 1}, _OBJECT]
_INPUT = {"anyOf": [*_ONE, {"type": "array", "minItems": 1, "maxItems": MAX_INPUTS, "items": {"anyOf": _ONE}}]}
_TOKENS = (
    "arrays of tokens are not supported, because their tokenizer is unknown: send texts; with LangChain's "
    "OpenAIEmbeddings, set check_embedding_ctx_length=False"
)


class EmbeddingsRequest(Body):
    """What to embed, and how to answer."""

    input: Annotated[Any, Field(json_schema_extra=_INPUT)] = Field(
        description="A text, an image or a list of both: at most 32, 16 of them images. An image is a `data:` URI; "
        'with `modality` `image`, also a URL or base64; or an object such as `{"image": "https://..."}`.'
    )
    model: str = Field(MODEL, min_length=1, max_length=255, description="A name that `GET /v1/models` lists.")
    modality: Literal["text", "image"] = Field("text", description="What the strings of `input` are.")
    encoding_format: Literal["float", "base64"] = Field("float", description="base64: little-endian float32.")
    embedding_type: Literal["float", "base64"] | None = Field(None, description="Jina's name of `encoding_format`.")
    dimensions: int | None = Field(None, ge=0, description="Only the model's own number is possible.")
    truncate: bool = Field(True, description="With false, a text beyond the model's context is an error.")


class Embedding(BaseModel):
    """One vector of unit length."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """The tokens of all texts."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(BaseModel):
    """The vectors in the order of the inputs."""

    object: Literal["list"] = "list"
    model: str
    data: list[Embedding]
    usage: Usage


class LiveModel(BaseModel):
    """A model that live workers have."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(1, description="Always 1; OpenAI's clients expect it.")
    owned_by: str = "clipqueue"
    aliases: list[str] = Field(description="Other names that requests may use.")
    dim: int
    context_length: int = Field(description="The most tokens of a text.")
    workers: int = Field(description="How many live workers answer with it.")


class LiveModels(BaseModel):
    """The models of the live workers."""

    object: Literal["list"] = "list"
    data: list[LiveModel]


@router.post("/embeddings", response_model=EmbeddingsResponse)
async def create_embeddings(request: EmbeddingsRequest, ours: Ours) -> JSONResponse:
    """Return the vectors of texts and images."""
    inputs = request.input if isinstance(request.input, list) else [request.input]
    _check_inputs(inputs, is_list=isinstance(request.input, list))
    model = await ours.vectors.find_model(request.model)
    params = [f"input[{number}]" for number in range(len(inputs))] if isinstance(request.input, list) else ["input"]
    queries = [(param, _query_of(one, model, param, request)) for param, one in zip(params, inputs, strict=True)]
    if sum(query.kind == IMAGE for _, query in queries) > MAX_IMAGES:
        raise bad_request(f"at most {MAX_IMAGES} images in one request", "input")
    answers = await ours.vectors.ask_all(queries)
    check_dim(request.dimensions, answers)
    as_base64 = (request.embedding_type or request.encoding_format) == "base64"
    tokens = sum(answer.tokens for answer in answers)
    return JSONResponse(
        {
            "object": "list",
            "model": model,
            "data": [_embedding(number, answer, as_base64=as_base64) for number, answer in enumerate(answers)],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


@router.get("/models")
async def list_models(ours: Ours) -> LiveModels:
    """Return the models of the live workers."""
    live = await ours.vectors.models()
    ids = [one.model for one in live]
    return LiveModels(
        data=[
            LiveModel(
                id=one.model,
                aliases=ours.names.aliases(one.model, ids),
                dim=one.dim,
                context_length=one.context_length,
                workers=one.workers,
            )
            for one in live
        ]
    )


def _check_inputs(inputs: list[Any], *, is_list: bool) -> None:
    if not inputs:
        raise bad_request("the list is empty", "input")
    if len(inputs) > MAX_INPUTS:
        raise bad_request(f"at most {MAX_INPUTS} inputs in one request, not {len(inputs)}", "input")
    tokens = inputs[0][0] if isinstance(inputs[0], list) and inputs[0] else inputs[0]
    if is_list and isinstance(tokens, int) and not isinstance(tokens, bool):
        raise bad_request(_TOKENS, "input", "token_arrays_unsupported")


def _query_of(one: Any, model: str, param: str, request: EmbeddingsRequest) -> Query:
    if isinstance(one, dict):
        return query_of_object(one, model, param, truncate=request.truncate)
    if not isinstance(one, str):
        raise bad_request('must be a text, or an object such as {"image": "https://..."}', param)
    modality = IMAGE if is_data_uri(one) else request.modality
    return query_of_string(one, modality, model, param, truncate=request.truncate)


def _embedding(number: int, answer: Answer, *, as_base64: bool) -> dict[str, Any]:
    vector = base64.b64encode(answer.vector).decode() if as_base64 else answer.floats()
    return {"object": "embedding", "index": number, "embedding": vector}
