"""`/v1/images`: enqueue images, upload one, wait for their vectors, and take a vector away."""

from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import JSONResponse, Response

from producer.api.failures import ApiError, bad_request
from producer.api.images import image_state, is_finished
from producer.api.inputs import query_of_bytes
from producer.api.routes.common import MODEL, TYPE, Body, Id, Ours
from producer.client.tracing import current_trace
from producer.contract.errors import InvalidJob
from producer.contract.ids import API_TYPES, ImageId, image_name, parse_image_id
from producer.contract.job import ImageJob, id_of_url
from producer.contract.queries import Query as WorkerQuery
from producer.contract.queries import Save
from producer.contract.records import bson_id
from producer.contract.trace import TRACE_HEADERS, Trace, read_trace
from producer.contract.urls import MAX_URL_CHARS


class _Anything(Convertor[str]):
    """The rest of a path. Starlette's `path` leaves out a line break at the end, so it finds another image."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("anything", _Anything())
router = APIRouter(prefix="/v1/images", tags=["Images"])

MAX_JOBS = 500
_MAX_WAIT_S = 60
_RETRY_S = "1"
_DOCUMENT_ID = (
    'The `_id` of its document: a string, an integer, `{"$oid": "..."}`, `{"$numberLong": "..."}` or '
    '`{"$uuid": "..."}`. By default derived from the URL.'
)


class ImageIn(Body):
    """An image to embed."""

    id: Id | None = Field(None, description=_DOCUMENT_ID)
    url: str = Field(min_length=1, max_length=MAX_URL_CHARS, description="An http or https URL.")
    force: bool = Field(False, description="Embed again even if the document has this model's vector of this URL.")


class ImagesIn(Body):
    """An image to embed, or a list of up to 500."""

    id: Id | None = Field(None, description=_DOCUMENT_ID)
    url: str | None = Field(None, min_length=1, max_length=MAX_URL_CHARS)
    force: bool = False
    images: list[ImageIn] | None = Field(None, min_length=1, max_length=MAX_JOBS)


class Enqueued(BaseModel):
    """A job that was recorded and enqueued."""

    id: str
    type: Literal["oid", "int", "uuid"] | None = Field(None, description=TYPE)
    task_id: str
    status: Literal["pending"] = "pending"
    status_url: str


class EnqueuedList(BaseModel):
    """Jobs that were recorded and enqueued, in the order of the request."""

    object: Literal["list"] = "list"
    data: list[Enqueued]


class ImageError(BaseModel):
    """Why an image has no vector."""

    code: str
    stage: str
    message: str


class ImageState(BaseModel):
    """What the document of an image says."""

    id: str
    type: Literal["oid", "int", "uuid"] | None = Field(None, description=TYPE)
    status: str = Field(description="`pending`, `done` or `failed`.")
    url: str | None = None
    model: str | None = None
    dim: int | None = None
    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    enqueued_at: str | None = None
    finished_at: str | None = None
    attempts: int | None = None
    error: ImageError | None = None
    vector: list[float] | str | None = None
    saved: Literal["done", "superseded"] | None = Field(
        None, description="Of an upload: `superseded` if a later job for this image had been enqueued."
    )


_Id = Annotated[str, Path(min_length=1, max_length=1024, description="The id; it may contain slashes.")]
_Type = Annotated[Literal["string", "oid", "int", "uuid"], Query(alias="type", description="The type of the id.")]
_Vector = Annotated[Literal["float", "base64"] | None, Query(description="Add the vector in this form.")]


@router.post("", status_code=202, response_model=Enqueued | EnqueuedList)
async def enqueue_images(request: ImagesIn, http: Request, ours: Ours) -> JSONResponse:
    """Record and enqueue one image or up to 500. If one cannot be used, none is enqueued."""
    if (request.images is None) == (request.url is None):
        raise bad_request('either "url" or "images" is needed', "url")
    trace = _trace(http)
    if request.images is None:
        jobs = [_job(request.id, request.url or "", force=request.force, prefix="", trace=trace)]
    else:
        images = enumerate(request.images)
        jobs = [
            _job(one.id, one.url, force=one.force, prefix=f"images[{number}].", trace=trace) for number, one in images
        ]
    await run_in_threadpool(ours.images.enqueue, jobs)
    enqueued = [_enqueued(job) for job in jobs]
    if request.images is None:
        return JSONResponse(enqueued[0], 202, {"location": enqueued[0]["status_url"]})
    return JSONResponse({"object": "list", "data": enqueued}, 202, {"location": "/v1/images"})


@router.get("/{image_id:anything}", response_model=ImageState, response_model_exclude_none=True)
async def get_image(
    image_id: _Id,
    ours: Ours,
    id_type: _Type = "string",
    wait: Annotated[int, Query(ge=0, le=_MAX_WAIT_S, description="Seconds to wait for the job to end.")] = 0,
    vector: _Vector = None,
) -> JSONResponse:
    """Return the state of an image. With `wait`, the answer comes as soon as its job has ended."""
    key = bson_id(_image_id(image_id, id_type))
    find = partial(ours.images.find, key, with_vector=vector is not None)
    document = await run_in_threadpool(find)
    if document is not None and wait and not is_finished(document):
        await ours.waiting.wait(key, wait)
        document = await run_in_threadpool(find)
    if document is None:
        raise _unknown(image_id)
    headers = {} if is_finished(document) else {"retry-after": _RETRY_S}
    return JSONResponse(image_state(document, vector), headers=headers)


@router.put(
    "/{image_id:anything}",
    response_model=ImageState,
    response_model_exclude_none=True,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {}, "image/*": {}},
            "description": "The image file, at most 8 MiB.",
        }
    },
)
async def put_image(
    image_id: _Id,
    request: Request,
    ours: Ours,
    id_type: _Type = "string",
    vector: _Vector = None,
) -> JSONResponse:
    """Embed an uploaded image at once, and write its vector as a job would."""
    parsed = _image_id(image_id, id_type)
    content = await request.body()
    query_of_bytes(content, None, "body")
    model = await ours.vectors.find_model(MODEL)
    query = WorkerQuery.image_bytes(content, model, save=Save.new(parsed))
    [answer] = await ours.vectors.ask_all([("body", query)])
    find = partial(ours.images.find, bson_id(parsed), with_vector=vector is not None)
    document = await run_in_threadpool(find)
    if document is None:
        raise _unknown(image_id)
    return JSONResponse({**image_state(document, vector), "saved": answer.saved})


@router.delete("/{image_id:anything}", status_code=204)
async def delete_image(image_id: _Id, ours: Ours, id_type: _Type = "string") -> Response:
    """Take the vector away. The document and its other fields stay; jobs enqueued before are dropped."""
    if not await run_in_threadpool(ours.images.delete, _image_id(image_id, id_type)):
        raise _unknown(image_id)
    return Response(status_code=204)


def _job(image_id: Any, url: str, *, force: bool, prefix: str, trace: Trace) -> ImageJob:
    try:
        parsed = parse_image_id(id_of_url(url) if image_id is None else image_id)
    except InvalidJob as exc:
        raise bad_request(str(exc), f"{prefix}id") from None
    try:
        return ImageJob.new(parsed, url, force=force, trace=trace)
    except InvalidJob as exc:
        raise bad_request(str(exc), f"{prefix}url") from None


def _trace(http: Request) -> Trace:
    """Return the trace of the request; its span is that of this program, if OpenTelemetry or Sentry traces it."""
    given = {name: ",".join(http.headers.getlist(name)) for name in TRACE_HEADERS}
    return read_trace({**given, **current_trace()})


def _image_id(text: str, id_type: str) -> ImageId:
    try:
        return parse_image_id(text if id_type == "string" else {API_TYPES[id_type]: text})
    except InvalidJob as exc:
        raise bad_request(str(exc), "image_id") from None


def _enqueued(job: ImageJob) -> dict[str, Any]:
    name = image_name(job.image_id)
    status_url = "/v1/images/" + quote(name["id"], safe="") + (f"?type={name['type']}" if "type" in name else "")
    return {**name, "task_id": job.task_id, "status": "pending", "status_url": status_url}


def _unknown(image_id: str) -> ApiError:
    return ApiError(404, "image_not_found", f"no image has the id {image_id[:100]!r}", param="image_id")
