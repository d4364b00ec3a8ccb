"""What several routes share: the services, the body of a request as JSON, and the names of parts in errors."""

import json
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, WithJsonSchema

from producer.api.failures import bad_request
from producer.api.services import Services

MAX_INPUTS, MAX_IMAGES = 32, 16
MODEL = "default"
TYPE = "Of the id: `oid` for an ObjectId, `int` for an integer, `uuid` for a UUID; missing for a string."


_ID_SCHEMA: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "object"}]}
# `parse_image_id` checks them: its errors say more than those of pydantic about a union.
Id = Annotated[Any, WithJsonSchema(_ID_SCHEMA)]
Ids = Annotated[Any, WithJsonSchema({"anyOf": [*_ID_SCHEMA["anyOf"], {"type": "array", "items": _ID_SCHEMA}]})]


class Body(BaseModel):
    """A JSON body. Unknown fields are ignored: clients send some of their own."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


def services_of(request: Request) -> Services:
    """Return the services of the application."""
    services: Services = request.app.state.services
    return services


Ours = Annotated[Services, Depends(services_of)]


def read_json(body: bytes) -> Any:
    """Return the JSON of a body. Raises ApiError."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise bad_request("the body is not JSON") from None


def param_of(loc: tuple[int | str, ...]) -> str:
    """Return the name of a part of the request: `images[3].url` for `("body", "images", 3, "url")`."""
    names = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc[1:]]
    return "".join(names).removeprefix(".")
