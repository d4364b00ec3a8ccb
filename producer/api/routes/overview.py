"""`GET /v1/overview`: the state of the service in one answer, for the search page and for people."""

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from producer.api.routes.common import Ours

router = APIRouter(prefix="/v1", tags=["Search"])


class Counts(BaseModel):
    """How many documents have each status."""

    done: int = Field(description="They can be found.")
    failed: int
    pending: int = Field(description="They have no result yet.")


class OverviewOut(BaseModel):
    """The state of the service."""

    models: list[str] = Field(description="The models of the live workers that answer queries.")
    workers: int = Field(description="The live workers that answer queries.")
    queued: int = Field(description="Jobs that wait for a worker.")
    delayed: int = Field(description="Jobs that wait on Redis for their next attempt.")
    images: Counts | None = Field(description="Null until they could be counted. Counted again when that is cheap.")
    filter_fields: list[str] = Field(description="CLIPQUEUE_FILTER_FIELDS.")


@router.get("/overview")
async def overview(ours: Ours) -> OverviewOut:
    """Return the number of images, the length of the queue, the workers, and the fields to filter by."""
    return OverviewOut(**await run_in_threadpool(ours.overview.read))
