"""The OpenAPI document: what FastAPI derives from the routes, with the API's own errors and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from producer.api.doors import is_public
from producer.api.failures import HUGGING_FACE, TEI, shape_of

if TYPE_CHECKING:
    from fastapi import FastAPI

_TEXT = {"type": "string"}
_NULLABLE = {"anyOf": [_TEXT, {"type": "null"}]}
_ERRORS: dict[str, dict[str, Any]] = {
    "OpenAIError": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {"message": _TEXT, "type": _TEXT, "param": _NULLABLE, "code": _TEXT},
            }
        },
    },
    "HuggingFaceError": {"type": "object", "required": ["error"], "properties": {"error": _TEXT}},
    "TeiError": {
        "type": "object",
        "required": ["error", "error_type"],
        "properties": {"error": _TEXT, "error_type": _TEXT},
    },
}
_NAMES = {HUGGING_FACE: "HuggingFaceError", TEI: "TeiError"}
_FASTAPIS = ("HTTPValidationError", "ValidationError")


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document; it is made once."""
    if app.openapi_schema is None:
        app.openapi_schema = _made(app)
    return app.openapi_schema


def _made(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, description=app.description, routes=app.routes
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _FASTAPIS:
        schemas.pop(name, None)
    schemas |= _ERRORS
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _describe_errors(path, method.upper(), operation)
    return document


def _describe_errors(path: str, method: str, operation: dict[str, Any]) -> None:
    operation["responses"].pop("422", None)  # FastAPI's own; ours are below
    if not is_public(method, path):
        operation["security"] = [{"bearer": []}, {"header": []}]
    schema = {"$ref": f"#/components/schemas/{_NAMES.get(shape_of(path, method), 'OpenAIError')}"}
    content = {"application/json": {"schema": schema}}
    operation["responses"]["4XX"] = {"description": "The request cannot be answered as it is.", "content": content}
    operation["responses"]["5XX"] = {"description": "A part of clipqueue does not answer.", "content": content}
