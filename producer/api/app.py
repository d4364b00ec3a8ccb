"""The application: the routes behind the gate."""

from __future__ import annotations

from contextlib import asynccontextmanager, nullcontext
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Match

from producer.api.bodies import Bodies
from producer.api.documentation import describe
from producer.api.failures import ApiError, as_api_error, error_response
from producer.api.gate import Gate
from producer.api.routes import health, huggingface, images, openai, overview, pages, search, tei
from producer.api.routes.common import param_of
from producer.api.services import open_services
from producer.contract.errors import ClipqueueError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.responses import JSONResponse
    from starlette.types import ASGIApp

    from producer.api.pulse import Pulse
    from producer.api.settings import ApiSettings
    from producer.api.telemetry import ApiTelemetry

_CODES = {404: "unknown_path", 405: "method_not_allowed"}
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
_ROUTERS = (
    *(openai.router, images.router, search.router, overview.router),
    *(huggingface.router, tei.router, health.router, pages.router),
)
_FOLDERS = {"/docs/assets": pages.docs_files, "/assets": pages.page_files}


def create_app(settings: ApiSettings, telemetry: ApiTelemetry | None = None) -> ASGIApp:
    """Return the ASGI application. It connects on first use, and closes its connections when it stops.

    Args:
        settings: The API's settings.
        telemetry: Counts the requests, and watches the event loop; None for neither.

    Raises:
        ConfigurationError: A URL, the collection's name or a setting of the search cannot be used.
    """
    pulse, metrics = (telemetry.pulse, telemetry.metrics) if telemetry else (None, None)
    gate = Gate(create_routes(settings, pulse), settings, Bodies(settings.api_uploads), metrics)
    if not settings.api_cors_origins:
        return gate
    return CORSMiddleware(
        gate,
        allow_origins=settings.api_cors_origins,
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=["authorization", "content-type", "x-api-key", "x-request-id"],
        expose_headers=["location", "retry-after", "x-request-id"],
    )


def route_paths() -> list[str]:
    """Return the paths of all routes; one that ends with `/` has all below it."""
    paths = [getattr(route, "path", "") for router in _ROUTERS for route in router.routes]
    return [*paths, "/openapi.json", *(f"{folder}/" for folder in _FOLDERS)]


def create_routes(settings: ApiSettings, pulse: Pulse | None = None) -> FastAPI:
    """Return the routes, without the gate that checks keys and sizes."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with pulse.beating(app.state.services.checks) if pulse else nullcontext():
            yield
        app.state.services.close()

    app = FastAPI(
        title="clipqueue",
        version=version("clipqueue"),
        summary="Vectors of texts and images, an image queue, and image search.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    app.state.services = open_services(settings)
    for router in _ROUTERS:
        app.include_router(router)
    for folder, files in _FOLDERS.items():
        app.mount(folder, files())
    for kind, answer in _ANSWERS.items():
        app.add_exception_handler(kind, answer)
    app.openapi = partial(describe, app)  # type: ignore[method-assign]
    return app


async def _answer_api_error(request: Request, exc: Any) -> JSONResponse:
    return error_response(exc, request.url.path, request.method)


async def _answer_failure(request: Request, exc: Any) -> JSONResponse:
    return error_response(as_api_error(exc), request.url.path, request.method)


async def _answer_invalid(request: Request, exc: Any) -> JSONResponse:
    """Say what is wrong with the first wrong part, without repeating it."""
    first = exc.errors()[0]
    if first["type"] == "json_invalid":
        error = ApiError(400, "invalid_request", "the body is not JSON")
    else:
        error = ApiError(400, "invalid_request", first["msg"], param=param_of(first["loc"]) or None)
    return error_response(error, request.url.path, request.method)


async def _answer_http(request: Request, exc: Any) -> JSONResponse:
    """Answer what FastAPI itself refuses: unknown paths, wrong methods, unreadable bodies."""
    code = _CODES.get(exc.status_code, "invalid_request")
    response = error_response(ApiError(exc.status_code, code, str(exc.detail)), request.url.path, request.method)
    response.headers.update(exc.headers or {})
    if exc.status_code == 405:  # noqa: PLR2004  (the exception knows only one of the routes with this path)
        response.headers["allow"] = ", ".join(_methods_of(request))
    return response


def _methods_of(request: Request) -> list[str]:
    """Return the methods that some route answers at this path."""
    scopes = {method: {**request.scope, "method": method} for method in _METHODS}
    routes = request.app.routes
    return [name for name, scope in scopes.items() if any(route.matches(scope)[0] is Match.FULL for route in routes)]


async def _answer_bug(request: Request, _: Any) -> JSONResponse:
    """Answer an unexpected error; the gate logs it."""
    error = ApiError(500, "internal_error", "an unexpected error; the log of the API has its traceback")
    return error_response(error, request.url.path, request.method)


_ANSWERS: dict[type[Exception], Any] = {
    ApiError: _answer_api_error,
    ClipqueueError: _answer_failure,
    RequestValidationError: _answer_invalid,
    StarletteHTTPException: _answer_http,
    HTTPException: _answer_http,
    Exception: _answer_bug,
}
