"""The settings of the HTTP API, read from the environment once at startup. docs/settings.md lists them."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AliasChoices, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from producer.api.keys import Key, parse_keys
from producer.contract.errors import ConfigurationError
from producer.contract.names import DEFAULT_COLLECTION
from producer.contract.redis_url import parse_redis_url

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_ORIGIN = re.compile(r"https?://[^\s/,*]+")


class ApiSettings(BaseSettings):
    """The settings of `clipqueue serve`."""

    model_config = SettingsConfigDict(env_prefix="CLIPQUEUE_", env_ignore_empty=True, frozen=True)

    redis_url: str = Field(
        "redis://localhost:6379/0",
        validation_alias="REDIS_URL",
        repr=False,
        description="URL of the Redis server that holds the queue, as for workers.",
    )
    mongodb_uri: str = Field(
        "mongodb://localhost:27017/clipqueue",
        validation_alias=AliasChoices("MONGODB_URI", "MONGO_URL"),
        repr=False,
        description="URI of the MongoDB server that holds the documents, as for workers.",
    )
    collection: str = Field(DEFAULT_COLLECTION, min_length=1, description="The MongoDB collection of the documents.")
    api_keys: Annotated[tuple[Key, ...], NoDecode] = Field(
        (),
        repr=False,
        description="Keys of at least 16 characters, separated by commas. A key that ends with `:search` or `:enqueue` "
        "may do only that. Without keys, the API answers on this machine only.",
    )
    api_host: str = Field(
        "",
        description="The address to listen on. By default `0.0.0.0` with keys, and `127.0.0.1` without.",
    )
    api_port: int = Field(
        8000,
        ge=0,
        le=65_535,
        validation_alias=AliasChoices("CLIPQUEUE_API_PORT", "PORT"),
        description="The port to listen on; 0 takes a free one.",
    )
    api_model: str = Field(
        "", description="The model that `clip` and `default` mean. Needed only while workers run several models."
    )
    api_any_model: bool = Field(
        default=False,
        description="Answer for every model name with the vectors of `default`. For demonstrations with another model.",
    )
    api_requests_per_s: float = Field(
        50.0, gt=0, description="Requests a second that each key may make on average; twice as many in one second."
    )
    api_uploads: int = Field(32, ge=1, description="Maximum number of request bodies above 64 KiB in memory at once.")
    api_cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins whose pages may call the API, such as `https://example.com`, separated by commas."
    )
    queries_max: int = Field(256, ge=1, description="The API answers 429 while this many queries wait for a worker.")

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: str) -> str:
        try:
            parse_redis_url(value)
        except ConfigurationError as exc:
            raise ValueError(str(exc)) from None
        return value

    @field_validator("api_keys", mode="before")
    @classmethod
    def _parse_keys(cls, value: object) -> object:
        return parse_keys(value) if isinstance(value, str) else value

    @field_validator("api_cors_origins", mode="before")
    @classmethod
    def _parse_origins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        origins = [part.strip() for part in value.split(",") if part.strip()]
        if wrong := [origin for origin in origins if not _ORIGIN.fullmatch(origin)]:
            raise ValueError(f"{wrong[0]!r} is not an origin such as https://example.com")
        return origins

    @model_validator(mode="after")
    def _check_host(self) -> Self:
        if not self.api_keys and self.host not in LOOPBACK:
            raise ValueError(
                "CLIPQUEUE_API_HOST is not this machine alone, so CLIPQUEUE_API_KEYS is needed; "
                "`openssl rand -hex 16` makes a key"
            )
        return self

    @property
    def host(self) -> str:
        """The address to listen on."""
        return self.api_host or ("0.0.0.0" if self.api_keys else "127.0.0.1")  # noqa: S104  (every request needs a key)


def load_api_settings() -> ApiSettings:
    """Read the settings from the environment.

    Raises:
        ConfigurationError: A variable has an invalid value. The message names each such variable and repeats no URL.
    """
    try:
        return ApiSettings()
    except ValidationError as exc:
        lines = [f"  {_variable(error['loc'])}: {error['msg']}" for error in exc.errors()]
        raise ConfigurationError("invalid settings\n" + "\n".join(lines)) from None


def _variable(loc: tuple[int | str, ...]) -> str:
    if not loc:
        return "conflicting settings"
    name = str(loc[0])
    return name if name.isupper() else f"CLIPQUEUE_{name.upper()}"
