"""Every setting of the worker, read from the environment once. No other module reads the environment."""

from __future__ import annotations

import ipaddress
from importlib.metadata import version
from typing import Annotated, Literal, Self

from pydantic import AliasChoices, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from producer.contract.names import DEFAULT_COLLECTION

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Nameserver = tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]

_DNS_PORT = 53
# What a job may wait at most for a slot of its host, for another suspect, and before it goes back to the queue.
_WAITS_S = 3.0


class Settings(BaseSettings):
    """The worker's settings; the names of the variables stand in the README's table."""

    model_config = SettingsConfigDict(env_prefix="CLIPQUEUE_", env_ignore_empty=True, frozen=True)

    redis_url: str = Field(
        "redis://localhost:6379/0", validation_alias="REDIS_URL", description="The queue; rediss:// for TLS."
    )
    mongodb_uri: str = Field(
        "mongodb://localhost:27017/clipqueue",
        validation_alias=AliasChoices("MONGODB_URI", "MONGO_URL"),
        description="The database is the one in the path, else `clipqueue`.",
    )
    collection: str = Field(DEFAULT_COLLECTION, min_length=1, description="The collection that gets the vectors.")
    upsert: bool = Field(default=True, description="Make a document where a job's id has none; else drop the job.")

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
    device: Literal["auto", "cuda", "mps", "cpu"] = Field("auto", description="Where the model runs.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto measures fp32 and bf16 at start and takes the faster."
    )

    concurrency: int = Field(64, ge=1, le=1024, description="Images in flight in one worker process (threads).")
    batch_size: int = Field(32, ge=1, le=1024, description="Most images in one forward pass.")
    model_threads: int = Field(
        0, ge=0, le=64, description="Forward passes at once; 0 is one for each processor, at most 4, and 1 on a GPU."
    )

    fetch_total_s: float = Field(15.0, gt=0, description="Seconds for one download, redirects included.")
    fetch_connect_s: float = Field(3.0, gt=0, description="Seconds to connect.")
    fetch_read_s: float = Field(5.0, gt=0, description="Seconds between two bytes.")
    fetch_max_bytes: int = Field(20 * 1024 * 1024, gt=0, description="Most bytes of one image file.")
    fetch_dns_s: float = Field(5.0, gt=0, description="Seconds to look a host name up.")
    fetch_ports: str = Field("80,443", description="Ports that may be fetched from, such as `80,443,8000-8999`.")
    fetch_allow_networks: Annotated[tuple[Network, ...], NoDecode] = Field(
        (), description="Networks (CIDR, comma separated) that may be fetched from although not public."
    )
    fetch_nameservers: Annotated[tuple[Nameserver, ...], NoDecode] = Field(
        (), description="Name servers to ask instead of the system's resolver: `9.9.9.9,[2620:fe::fe]:53`."
    )
    fetch_per_host: int = Field(8, ge=1, description="Most downloads from one host at once, for each worker.")
    fetch_user_agent: str = Field(
        f"clipqueue/{version('clipqueue')}",
        pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$",
        description="How downloads present themselves to servers.",
    )
    fetch_allow_downgrade: bool = Field(default=False, description="Follow redirects from https to http.")
    fetch_proxy: str = Field(
        "",
        pattern=r"^(https?://[^/\s]+/?)?$",
        description="An egress proxy (`http://user:password@host:3128`), which then decides where names may lead.",
    )
    max_pixels: int = Field(50_000_000, gt=0, description="Most pixels (width x height) of one image.")
    max_side: int = Field(16_384, gt=0, description="Most pixels of one side of an image.")
    max_frames: int = Field(1000, gt=0, description="Most frames that an image file may announce; one is decoded.")
    max_scans: int = Field(100, gt=0, description="Most scans of a progressive JPEG.")
    allow_truncated: bool = Field(default=False, description="Embed images that are cut short, as far as they go.")
    decode_processes: int = Field(
        0, ge=0, le=256, description="Processes that decode; 0 is one for each processor, at most 8."
    )
    decode_cpu_s: int = Field(6, ge=1, description="Most seconds of processor time to decode one image.")
    decode_memory_bytes: int = Field(
        2 * 1024**3, ge=256 * 1024**2, description="Most memory (address space) of one decoding process."
    )
    decode_s: float = Field(12.0, gt=0, description="Seconds that an image may take to be decoded, waiting included.")

    max_retries: int = Field(5, ge=0, description="Retries after a transient error before the job is failed.")
    retry_base_s: float = Field(2.0, gt=0, description="Seconds before the first retry; doubles each time.")
    retry_cap_s: float = Field(20.0, gt=0, description="Most seconds before a retry.")
    encode_s: float = Field(12.0, gt=0, description="Seconds that an image may wait for its vector.")
    store_s: float = Field(5.0, gt=0, description="Seconds that MongoDB may take to answer.")
    visibility_timeout_s: int = Field(
        80, ge=2, description="Seconds after which a killed worker's jobs are given to another."
    )
    restore_interval_s: int = Field(5, ge=1, description="Seconds between two looks for such jobs.")
    drain_s: float = Field(40.0, gt=0, description="Seconds from SIGTERM until the jobs are done or given back.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="What the worker logs.")

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

    @model_validator(mode="after")
    def _jobs_end_before_redelivery(self) -> Self:
        # A job still running at the visibility timeout would be given to a second worker (celery#5935), and a
        # retry waits for its countdown unacked in the worker's memory.
        # The store is asked whether the job is needed, to save, and, if it refuses that, to record the failure.
        longest = self.retry_cap_s + self.fetch_total_s + self.decode_s + self.encode_s + 3 * self.store_s + _WAITS_S
        if longest >= self.visibility_timeout_s:
            raise ValueError(
                "CLIPQUEUE_RETRY_CAP_S + CLIPQUEUE_FETCH_TOTAL_S + CLIPQUEUE_DECODE_S + CLIPQUEUE_ENCODE_S + 3 x "
                f"CLIPQUEUE_STORE_S + {_WAITS_S:g} is {longest:g} s, which must stay below "
                f"CLIPQUEUE_VISIBILITY_TIMEOUT_S ({self.visibility_timeout_s} s)"
            )
        return self

    @model_validator(mode="after")
    def _stages_end_before_the_drain(self) -> Self:
        # A stage that has begun cannot be broken off.
        for stage in ("fetch_total_s", "decode_s", "encode_s", "store_s"):
            seconds = getattr(self, stage)
            if seconds > self.drain_s:
                name = f"CLIPQUEUE_{stage.upper()}"
                raise ValueError(f"{name} ({seconds:g} s) must not be above CLIPQUEUE_DRAIN_S ({self.drain_s:g} s)")
        return self


class SettingsError(Exception):
    """The environment does not make valid settings; the message names each variable, never its value."""


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: A variable has a value that cannot be used.
    """
    try:
        return Settings()
    except ValidationError as exc:
        lines = [f"  {_variable(error['loc'])}: {error['msg']}" for error in exc.errors()]
        # `from None`: pydantic's own text repeats the values, and a URL may hold a password.
        raise SettingsError("clipqueue: settings that cannot be used\n" + "\n".join(lines)) from None


def parse_ports(text: str) -> tuple[range, ...]:
    """Read `80,443,8000-8999` as ranges; raises ValueError for anything else."""
    ranges = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        ports = range(int(first), int(last or first) + 1)
        if not ports or ports[0] < 1 or ports[-1] > 65_535:  # noqa: PLR2004  (the largest port)
            raise ValueError(f"{part.strip()!r} is not a port or a range of ports")
        ranges.append(ports)
    return tuple(ranges)


def parse_nameserver(text: str) -> Nameserver:
    """Read `9.9.9.9`, `9.9.9.9:53`, `2620:fe::fe` or `[2620:fe::fe]:53`; raises ValueError for anything else."""
    text = text.strip()
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not text.startswith("[")) or text.endswith("]"):
        host, port = text, str(_DNS_PORT)
    return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")), int(port)


def _variable(loc: tuple[int | str, ...]) -> str:
    if not loc:
        return "together"
    name = str(loc[0])
    return name if name.isupper() else f"CLIPQUEUE_{name.upper()}"
