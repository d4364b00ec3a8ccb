"""`/v1/search`: images by text, by picture and by example. `/v1/duplicates`: images that are almost the same."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from producer.api.failures import bad_request
from producer.api.inputs import IMAGE, query_of_object, query_of_string
from producer.api.routes.common import MODEL, TYPE, Body, Ids, Ours, read_json
from producer.api.services import Services
from producer.contract.errors import InvalidJob
from producer.contract.ids import ImageId, image_name, parse_image_id
from producer.search.query import Duplicates, SearchPage, SearchQuery, Weights

router = APIRouter(prefix="/v1", tags=["Search"])

_MAX_GROUPS = 1000
_MAX_PARTS = 16
_CACHE = "private, max-age=30"


class WeightsIn(Body):
    """How much each part counts."""

    text: float = Field(1.0, ge=0, le=100)
    image: float = Field(1.0, ge=0, le=100)
    like: float = Field(1.0, ge=0, le=100)
    not_: float = Field(0.5, ge=0, le=100, alias="not")


class SearchIn(Body):
    """What to search for. At least one of `text`, `image` and `like` is needed."""

    text: str | None = Field(None, min_length=1, max_length=8192)
    image: str | dict[str, Any] | None = Field(
        None, description='A URL, a `data:` URI or base64; or `{"url"}`, `{"bytes"}`, or `{"id"}` of a stored image.'
    )
    like: Ids | None = Field(None, description="Ids of stored images that hits should resemble.")
    not_: str | dict[str, Any] | list[str | dict[str, Any]] | None = Field(
        None, alias="not", description='What hits should not resemble: texts, and stored images as `{"id": "photo-2"}`.'
    )
    weights: WeightsIn = WeightsIn()
    filter: dict[str, Any] | None = Field(None, description="A filter over the fields of CLIPQUEUE_FILTER_FIELDS.")
    limit: int = Field(24, ge=1, le=1000)
    cursor: str | None = Field(None, description="`next` of the page before.")
    min_score: float | None = Field(None, ge=-1, le=1, description="Leave out hits with a lower cosine.")
    within: float | None = Field(None, ge=0, le=2, description="The most that a hit may be worse than the best one.")
    dedupe: float | None = Field(None, ge=0, le=1, description="Fold hits together whose cosine is at least this.")
    exact: bool = Field(False, description="Compare all vectors, even if an index could estimate the best.")
    fields: list[str] = Field([], max_length=32, description="Fields of CLIPQUEUE_FILTER_FIELDS to return.")
    model: str = Field(MODEL, min_length=1, max_length=255)


class HitOut(BaseModel):
    """An image that was found."""

    id: str
    type: str | None = Field(None, description=TYPE)
    score: float = Field(description="The cosine.")
    url: str | None
    fields: dict[str, Any]
    duplicates: list[str]


class PageOut(BaseModel):
    """A page of hits, the best first."""

    object: str = "list"
    model: str
    backend: str
    data: list[HitOut]
    next: str | None
    took_ms: dict[str, int]


class DuplicateOut(BaseModel):
    """An image of a group."""

    id: str
    type: str | None = Field(None, description=TYPE)
    url: str | None = Field(None, description="Missing for an uploaded image.")
    cosine: float


class GroupOut(BaseModel):
    """Images that are almost the same."""

    images: list[DuplicateOut]


class GroupsOut(BaseModel):
    """Groups of near-duplicates."""

    object: str = "list"
    data: list[GroupOut]
    complete: bool = Field(description="Whether these are all groups: there are no more, and the time was enough.")


@router.get("/search", response_model=PageOut, response_model_exclude_none=True)
async def search_by_url(  # noqa: PLR0913, PLR0917  (each is a parameter in the URL)
    request: Request,
    ours: Ours,
    q: Annotated[str | None, Query(min_length=1, max_length=8192, description="A text.")] = None,
    like: Annotated[list[str], Query(max_length=_MAX_PARTS)] = [],  # noqa: B006  (FastAPI copies it)
    not_: Annotated[list[str], Query(alias="not", max_length=_MAX_PARTS)] = [],  # noqa: B006
    not_like: Annotated[list[str], Query(max_length=_MAX_PARTS)] = [],  # noqa: B006
    filter_: Annotated[str | None, Query(alias="filter", description="JSON.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 24,
    cursor: str | None = None,
    min_score: Annotated[float | None, Query(ge=-1, le=1)] = None,
    within: Annotated[float | None, Query(ge=0, le=2)] = None,
    dedupe: Annotated[float | None, Query(ge=0, le=1)] = None,
    exact: bool = False,  # noqa: FBT001, FBT002
    fields: Annotated[str, Query(description="Separated by commas.")] = "",
    model: Annotated[str, Query(min_length=1, max_length=255)] = MODEL,
) -> Response:
    """Search by a text, and by stored images. The answer may be cached for 30 s."""
    query = SearchQuery(
        text=q,
        like=_ids(like, "like"),
        not_text=tuple(not_),
        not_like=_ids(not_like, "not_like"),
        filter=_filter(filter_),
        limit=limit,
        cursor=cursor,
        min_score=min_score,
        within=within,
        dedupe=dedupe,
        exact=exact,
        fields=tuple(field.strip() for field in fields.split(",") if field.strip()),
    )
    page = await _search(query, model, ours)
    without_times = json.dumps({**page, "took_ms": None}, sort_keys=True)
    etag = f'"{hashlib.sha256(without_times.encode()).hexdigest()[:32]}"'
    headers = {"etag": etag, "cache-control": _CACHE, "vary": "authorization, x-api-key"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return JSONResponse(page, headers=headers)


@router.post("/search", response_model=PageOut, response_model_exclude_none=True)
async def search(request: SearchIn, ours: Ours) -> JSONResponse:
    """Search by any combination of a text, a picture, stored images, and what not to find."""
    likes = [] if request.like is None else request.like if isinstance(request.like, list) else [request.like]
    image, weights = request.image, request.weights
    like_weight = weights.like
    if isinstance(image, dict) and "id" in image:
        if likes and weights.image != weights.like:
            raise bad_request("an image by id, and `like`, have one weight: make them equal", "weights.image")
        likes, image, like_weight = [*likes, image["id"]], None, weights.image
    nots = [] if request.not_ is None else request.not_ if isinstance(request.not_, list) else [request.not_]
    if max(len(likes), len(nots)) > _MAX_PARTS:
        raise bad_request(f"at most {_MAX_PARTS} are possible", "like" if len(likes) > _MAX_PARTS else "not")
    query = SearchQuery(
        text=request.text,
        image=None if image is None else _image(image),
        like=_ids(likes, "like"),
        not_text=tuple(one for one in nots if isinstance(one, str)),
        not_like=_ids([one.get("id") for one in nots if isinstance(one, dict)], "not"),
        weights=Weights(weights.text, weights.image, like_weight, weights.not_),
        filter=request.filter,
        limit=request.limit,
        cursor=request.cursor,
        min_score=request.min_score,
        within=request.within,
        dedupe=request.dedupe,
        exact=request.exact,
        fields=tuple(request.fields),
    )
    return JSONResponse(await _search(query, request.model, ours))


@router.get("/duplicates", response_model_exclude_none=True)
async def find_duplicates(
    ours: Ours,
    threshold: Annotated[float, Query(ge=0.5, le=1, description="The lowest cosine of two near-duplicates.")] = 0.97,
    limit: Annotated[int, Query(ge=1, le=_MAX_GROUPS)] = 100,
    model: Annotated[str, Query(min_length=1, max_length=255)] = MODEL,
) -> GroupsOut:
    """Return groups of images that are almost the same. All images are compared, for at most a minute."""
    wanted = Duplicates(threshold, ours.vectors.stored_model(model), limit + 1)
    found = await ours.searching.duplicates(wanted, limit)
    groups = [
        GroupOut(
            images=[DuplicateOut(**image_name(one.image_id), url=one.url, cosine=one.cosine) for one in group.images]
        )
        for group in found.groups
    ]
    return GroupsOut(data=groups, complete=found.is_complete)


async def _search(query: SearchQuery, model: str, ours: Services) -> dict[str, Any]:
    return _page(await ours.searching.search(query, model))


def _page(page: SearchPage) -> dict[str, Any]:
    hits = [
        {
            **image_name(hit.image_id),
            "score": hit.score,
            "url": hit.url,
            "fields": {name: _plain(value) for name, value in hit.fields.items()},
            "duplicates": [str(one) for one in hit.duplicates],
        }
        for hit in page.hits
    ]
    head = {"object": "list", "model": page.model, "backend": page.backend}
    return {**head, "data": hits, "next": page.next, "took_ms": dict(page.took_ms)}


def _image(image: str | dict[str, Any]) -> str | bytes:
    query = (
        query_of_object(image, "-", "image") if isinstance(image, dict) else query_of_string(image, IMAGE, "-", "image")
    )
    found = query.url or query.content
    if found is None:
        raise bad_request("must be an image", "image")
    return found


def _ids(values: list[Any], param: str) -> tuple[ImageId, ...]:
    try:
        return tuple(parse_image_id(value) for value in values)
    except InvalidJob as exc:
        raise bad_request(str(exc), param) from None


def _filter(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    found = read_json(text.encode("utf-8", "surrogatepass"))
    if not isinstance(found, dict):
        raise bad_request("must be a JSON object", "filter")
    return found


def _plain(value: Any) -> Any:
    """Return a field of a document as JSON has it. What JSON has no type for becomes a text."""
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return aware.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    is_json = value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and value - value == 0)
    return value if is_json else str(value)
