"""The worker's settings, read from the environment once at startup.

No other module reads the environment, except for `worker.health`, which must be quick, and
`producer.telemetry.settings`, which is the same for all programs.
"""

from __future__ import annotations

import ipaddress
from importlib.metadata import version
from typing import Annotated, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from producer.contract.errors import ConfigurationError, InvalidJob
from producer.contract.names import DEFAULT_COLLECTION
from producer.contract.redis_url import parse_redis_url
from producer.contract.urls import check_url
from worker.header_lines import HeaderLine, parse_header_lines, read_header_lines

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Nameserver = tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]

_DNS_PORT = 53
_DAY_S = 86_400
_MAX_PORT = 65_535
# The sum of three waits of at most 1 s each: for a download slot of the host and for another job of a lost worker
# (`worker.wiring._WAIT_S`), and before the job is requeued (`worker.errors.Requeue.delay_s`).
_WAITS_S = 3.0


class Settings(BaseSettings):
    """The worker's settings. docs/settings.md lists them; `python -m tests.support.settings_page` updates that page."""

    model_config = SettingsConfigDict(
        env_prefix="CLIPQUEUE_", env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    redis_url: str = Field(
        "redis://localhost:6379/0",
        validation_alias="REDIS_URL",
        description="URL of the Redis server that holds the queue. Use `rediss://` for TLS. "
        "[Deployment](deployment.md#redis) lists the other forms.",
    )
    mongodb_uri: str = Field(
        "mongodb://localhost:27017/clipqueue",
        validation_alias=AliasChoices("MONGODB_URI", "MONGO_URL"),
        description="URI of the MongoDB server that holds the documents. Its path names the database, by default "
        "`clipqueue`.",
    )
    collection: str = Field(DEFAULT_COLLECTION, min_length=1, description="The MongoDB collection of the documents.")
    upsert: bool = Field(default=True, description="Create the document if it is missing. With `false`, drop its job.")

    clip_model: str = Field(
        "ViT-B-32-quickgelu",
        validation_alias="CLIP_MODEL",
        min_length=1,
        description="An open_clip model name, `emoji-clip`, `hf-hub:org/repo` or `local-dir:/path`.",
    )
    clip_pretrained: str = Field(
        "openai",
        validation_alias="CLIP_PRETRAINED",
        description="A pretrained tag, the path of a checkpoint, `bundled` (emoji-clip) or `untrained` (random).",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|mps|cuda(:(0|[1-9][0-9]?))?)$",
        description="The device that the model runs on: `cpu`, `mps`, `cuda` or one of several GPUs, such as `cuda:1`; "
        "`auto` uses the first available of CUDA, MPS and CPU.",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="Precision of the weights; `auto` measures fp32 and half the bits at startup. On a CPU it uses the "
        "clearly faster one, else fp32; on a GPU half the bits, unless they are clearly slower.",
    )

    serve: Literal["images,queries", "images", "queries"] = Field(
        "images,queries",
        description="What the worker does: embed the images of the queue, answer queries, or both. With `queries` it "
        "loads the text tower alone until a picture comes.",
    )
    query_slack_ms: int = Field(
        150,
        ge=1,
        description="Maximum duration in milliseconds of a batch of images while queries arrive, and for 30 s after "
        "the last one.",
    )
    concurrency: int = Field(
        64,
        ge=1,
        le=1024,
        description="Maximum number of images in flight per worker process. A worker with a slow model lowers it.",
    )
    batch_size: int = Field(32, ge=1, le=1024, description="Maximum number of images in one forward pass.")
    model_threads: int = Field(
        0,
        ge=0,
        le=64,
        description="Number of concurrent forward passes. 0 is one for each CPU core, up to 4, and 1 on a GPU.",
    )

    fetch_total_s: float = Field(15.0, gt=0, description="Timeout of one download in seconds, redirects included.")
    fetch_connect_s: float = Field(3.0, gt=0, description="Connect timeout in seconds.")
    fetch_read_s: float = Field(5.0, gt=0, description="Read timeout in seconds: the longest pause between two bytes.")
    fetch_max_bytes: int = Field(20 * 1024 * 1024, gt=0, description="Maximum image size in bytes.")
    fetch_dns_s: float = Field(5.0, gt=0, description="Timeout of a DNS lookup in seconds.")
    fetch_ports: str = Field("80,443", description="Ports that downloads may connect to, such as `80,443,8000-8999`.")
    fetch_allow_networks: Annotated[tuple[Network, ...], NoDecode] = Field(
        (), description="Networks that are allowed although they are not public: CIDRs, separated by commas."
    )
    fetch_nameservers: Annotated[tuple[Nameserver, ...], NoDecode] = Field(
        (), description="Name servers to use instead of the system's resolver, such as `9.9.9.9,[2620:fe::fe]:53`."
    )
    fetch_per_host: int = Field(8, ge=1, description="Maximum number of downloads from one host at once, per worker.")
    fetch_user_agent: str = Field(
        f"clipqueue/{version('clipqueue')}",
        pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$",
        description="The User-Agent header of downloads. A good one says how to contact you.",
    )
    fetch_allow_downgrade: bool = Field(default=False, description="Follow redirects from https to http.")
    fetch_proxy: str = Field(
        "",
        pattern=r"^(https?://[^/\s]+/?)?$",
        description="An egress proxy, such as `http://user:password@host:3128`. The proxy resolves host "
        "names, so it must block private addresses itself.",
    )
    fetch_headers: SecretStr = Field(
        SecretStr(""),
        description="Request headers for [private images](private-images.md#headers-by-host), by host: lines of the "
        "form `cdn.example.com: Authorization: Bearer ...`. They are sent to that host only, over https only.",
    )
    fetch_headers_file: str = Field(
        "", description="A file with these lines, such as a Docker secret, instead of `CLIPQUEUE_FETCH_HEADERS`."
    )
    max_pixels: int = Field(50_000_000, gt=0, description="Maximum number of pixels (width x height) of an image.")
    max_side: int = Field(16_384, gt=0, description="Maximum width and height of an image in pixels.")
    max_frames: int = Field(
        1000,
        gt=0,
        description="Maximum number of frames that a file's header may state. Only the first frame is decoded.",
    )
    max_scans: int = Field(100, gt=0, description="Maximum number of scans in a progressive JPEG.")
    allow_truncated: bool = Field(default=False, description="Embed truncated images as far as they can be decoded.")
    decode_processes: int = Field(
        0, ge=0, le=256, description="Number of decoding processes. 0 is one for each CPU core, up to 8."
    )
    decode_cpu_s: int = Field(6, ge=1, description="CPU time limit in seconds for decoding one image.")
    decode_memory_bytes: int = Field(
        2 * 1024**3, ge=256 * 1024**2, description="Memory limit (address space) of a decoding process in bytes."
    )
    decode_s: float = Field(12.0, gt=0, description="Timeout for decoding one image in seconds, waiting included.")

    max_retries: int = Field(
        10,
        ge=0,
        description="Retries after a transient error, of which at most 5 after errors of decoding and encoding. After "
        "the last one, the job fails. The defaults take 9 to 18 minutes.",
    )
    retry_base_s: float = Field(
        2.0, gt=0, le=_DAY_S, description="Maximum delay before the first retry in seconds; doubles each time."
    )
    retry_cap_s: float = Field(
        300.0,
        gt=0,
        le=_DAY_S,
        description="Maximum delay before any retry in seconds, unless the server asks for more.",
    )
    retry_after_max_s: float = Field(
        3600.0,
        ge=0,
        le=_DAY_S,
        description="Maximum delay in seconds that a server may ask for by `Retry-After`. 0 ignores what it asks.",
    )
    encode_s: float = Field(12.0, gt=0, description="Timeout for encoding one image in seconds, waiting included.")
    store_s: float = Field(5.0, gt=0, description="Timeout of a MongoDB call in seconds.")
    visibility_timeout_s: int = Field(
        80, ge=2, description="Seconds after which the jobs of a killed worker are redelivered."
    )
    restore_interval_s: int = Field(
        5, ge=1, description="Seconds between two checks for jobs to redeliver, and for retries that are due."
    )
    drain_s: float = Field(40.0, gt=0, description="Seconds from SIGTERM until all jobs are done or requeued.")
    health_file: str = Field(
        "",
        description="The file that `python -m worker.health` reads, unlike that of any other worker. By default one in "
        "the temporary folder; then the check is about all workers of this user on this host.",
    )
    webhook_url: str = Field(
        "",
        description="The URL that `clipqueue notify` sends [webhooks](webhooks.md) to. Workers that have it leave an "
        "event on Redis for each job that ends.",
    )
    events: Literal["all", "failures", "off"] = Field(
        "all",
        description="What the worker tells [Flower](flower.md#turn-the-events-down): of each job, of failures and "
        "retries only, or of no job. Its own heartbeat is sent always.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="The log level of the worker.")
    log_format: Literal["auto", "text", "json"] = Field(
        "auto",
        description="The form of the [log](logs.md): text for people, JSON for programs; `auto` is text on a terminal. "
        "For the API, `sweep --every` and `notify` too.",
    )
    log_jobs: Literal["auto", "all", "failed"] = Field(
        "auto",
        description="Which jobs have a [line of their own](logs.md#lines-about-jobs) in the log; `auto` writes at most "
        "50 a second, and more for failures.",
    )

    @property
    def serves_images(self) -> bool:
        """Whether the worker consumes the queue."""
        return "images" in self.serve

    @property
    def serves_queries(self) -> bool:
        """Whether the worker answers queries."""
        return "queries" in self.serve

    @property
    def longest_job_s(self) -> float:
        """How long a job may run, without its waits for MongoDB, in seconds."""
        # The store is called up to three times: check, save, and save a failure.
        return self.fetch_total_s + self.decode_s + self.encode_s + 3 * self.store_s + _WAITS_S

    @property
    def header_lines(self) -> tuple[HeaderLine, ...]:
        """The request headers by host, from the variable or from its file."""
        if self.fetch_headers_file:
            return read_header_lines(self.fetch_headers_file)
        return parse_header_lines(self.fetch_headers.get_secret_value())

    @field_validator("serve", mode="before")
    @classmethod
    def _order_serve(cls, value: object) -> object:
        return ",".join(sorted(part.strip() for part in value.split(","))) if isinstance(value, str) else value

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: str) -> str:
        try:
            parse_redis_url(value)
        except ConfigurationError as exc:
            raise ValueError(str(exc)) from None
        return value

    @field_validator("webhook_url")
    @classmethod
    def _check_webhook_url(cls, value: str) -> str:
        try:
            if value:
                check_url(value)
        except InvalidJob as exc:
            raise ValueError(str(exc)) from None
        return value

    @field_validator("fetch_allow_networks", mode="before")
    @classmethod
    def _split_networks(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("fetch_nameservers", mode="before")
    @classmethod
    def _split_nameservers(cls, value: object) -> object:
        return [parse_nameserver(part) for part in value.split(",")] if isinstance(value, str) else value

    @field_validator("fetch_ports")
    @classmethod
    def _check_ports(cls, value: str) -> str:
        parse_ports(value)
        return value

    @field_validator("fetch_headers")
    @classmethod
    def _check_headers(cls, value: SecretStr) -> SecretStr:
        parse_header_lines(value.get_secret_value())
        return value

    @field_validator("fetch_headers_file")
    @classmethod
    def _check_headers_file(cls, value: str) -> str:
        if value:
            read_header_lines(value)
        return value

    @model_validator(mode="after")
    def _check_one_source_of_headers(self) -> Self:
        if self.fetch_headers.get_secret_value() and self.fetch_headers_file:
            raise ValueError("set CLIPQUEUE_FETCH_HEADERS or CLIPQUEUE_FETCH_HEADERS_FILE, not both")
        return self

    @model_validator(mode="after")
    def _check_visibility_timeout(self) -> Self:
        # A job that still runs at the visibility timeout is redelivered to a second worker (celery#5935).
        if self.longest_job_s >= self.visibility_timeout_s:
            raise ValueError(
                "CLIPQUEUE_FETCH_TOTAL_S + CLIPQUEUE_DECODE_S + CLIPQUEUE_ENCODE_S + 3 x CLIPQUEUE_STORE_S + "
                f"{_WAITS_S:g} is {self.longest_job_s:g} s, which must stay below "
                f"CLIPQUEUE_VISIBILITY_TIMEOUT_S ({self.visibility_timeout_s} s)"
            )
        return self

    @model_validator(mode="after")
    def _check_drain(self) -> Self:
        # A stage that has started cannot be interrupted.
        for stage in ("fetch_total_s", "decode_s", "encode_s", "store_s"):
            seconds = getattr(self, stage)
            if seconds > self.drain_s:
                name = f"CLIPQUEUE_{stage.upper()}"
                raise ValueError(f"{name} ({seconds:g} s) must not exceed CLIPQUEUE_DRAIN_S ({self.drain_s:g} s)")
        return self


class SettingsError(Exception):
    """A variable has an invalid value. The message names each such variable and repeats no URL."""


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: A variable has an invalid value.
    """
    try:
        return Settings()
    except ValidationError as exc:
        lines = [f"  {_variable(error['loc'])}: {error['msg']}" for error in exc.errors()]
        # `from None`, because pydantic's own text repeats the values, and a URL may hold a password.
        raise SettingsError("clipqueue: invalid settings\n" + "\n".join(lines)) from None


def parse_ports(text: str) -> tuple[range, ...]:
    """Parse ports and ranges of ports, such as `80,443,8000-8999`. Raises ValueError."""
    return tuple(_parse_port_range(part.strip()) for part in text.split(","))


def _parse_port_range(text: str) -> range:
    first, _, last = text.partition("-")
    try:
        ports = range(int(first), int(last or first) + 1)
    except ValueError:
        ports = range(0)
    if not ports or ports[0] < 1 or ports[-1] > _MAX_PORT:
        raise ValueError(f"{text!r} is not a port or a range of ports")
    return ports


def parse_nameserver(text: str) -> Nameserver:
    """Parse `9.9.9.9`, `9.9.9.9:53`, `2620:fe::fe` or `[2620:fe::fe]:53`. Raises ValueError."""
    text = text.strip()
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not text.startswith("[")) or text.endswith("]"):
        host, port = text, str(_DNS_PORT)
    return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")), int(port)


def _variable(loc: tuple[int | str, ...]) -> str:
    """Return the name of the environment variable at a pydantic error location.

    The location is empty if several settings conflict.
    """
    if not loc:
        return "conflicting settings"
    name = str(loc[0])
    return name if name.isupper() else f"CLIPQUEUE_{name.upper()}"
