"""`GET /healthz`: whether the API can do its work. It needs no key and says nothing else."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import JSONResponse

from producer.api.routes.common import Ours

router = APIRouter(tags=["Health"])


class HealthOut(BaseModel):
    """What answers. Without workers images can still be enqueued, so that alone is no failure."""

    status: Literal["ok", "unavailable"]
    redis: bool
    mongo: bool
    workers: int


@router.get("/healthz", response_model=HealthOut, responses={503: {"model": HealthOut}})
async def healthz(ours: Ours) -> JSONResponse:
    """Return 200 if Redis and MongoDB answer, else 503."""
    health = await ours.checks.read()
    is_ok = health.redis and health.mongo
    body = {"status": "ok" if is_ok else "unavailable", "redis": health.redis, "mongo": health.mongo}
    return JSONResponse({**body, "workers": health.workers}, 200 if is_ok else 503)
