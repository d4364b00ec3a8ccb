"""Makes docs/settings.md from the settings classes: `python -m tests.support.settings_page` writes it."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import AliasChoices, SecretStr

from producer.api.settings import ApiSettings
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic.fields import FieldInfo

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
COMMAND = "python -m tests.support.settings_page"

GROUPS = {
    "Connections": ("redis_url", "mongodb_uri", "collection", "upsert"),
    "Model": ("clip_model", "clip_pretrained", "device", "precision", "concurrency", "batch_size", "model_threads"),
    "Queries": ("serve", "query_slack_ms"),
    "Downloads": tuple(name for name in Settings.model_fields if name.startswith("fetch_")),
    "Decoding": tuple(
        name
        for name in Settings.model_fields
        if name.startswith(("max_", "allow_", "decode_")) and name != "max_retries"
    ),
    "Retries and time": (
        *("max_retries", "retry_base_s", "retry_cap_s", "retry_after_max_s", "encode_s", "store_s"),
        *("visibility_timeout_s", "restore_interval_s", "drain_s"),
    ),
    "Webhooks": ("webhook_url",),
    "Log, health and Flower": ("log_level", "log_format", "log_jobs", "health_file", "events"),
}

# The others are the connections, which mean the same for all programs.
API_ONLY = tuple(name for name in ApiSettings.model_fields if name not in GROUPS["Connections"])

_HEAD = """# Settings

Which variables does clipqueue read? A worker reads the variables of the first eight tables once, at
startup. If a value is invalid, the worker exits and names the variable.
"""
_API = """## The HTTP API

`clipqueue serve` reads these once, at startup, and `REDIS_URL`, `MONGODB_URI` and `CLIPQUEUE_COLLECTION` as workers do.
[The HTTP API](api.md) has its routes.
"""
_TAIL = """## Rules between settings

- A job must end before it is redelivered. `CLIPQUEUE_FETCH_TOTAL_S` + `CLIPQUEUE_DECODE_S` + `CLIPQUEUE_ENCODE_S` +
  3 x `CLIPQUEUE_STORE_S` + 3 must stay below `CLIPQUEUE_VISIBILITY_TIMEOUT_S`. The wait for a retry does not count.
- A stage must end before the drain does. `CLIPQUEUE_FETCH_TOTAL_S`, `CLIPQUEUE_DECODE_S`, `CLIPQUEUE_ENCODE_S` and
  `CLIPQUEUE_STORE_S` must not exceed `CLIPQUEUE_DRAIN_S`.
- All workers of a queue need the same model, the same database in `MONGODB_URI`, and the same `CLIPQUEUE_COLLECTION`,
  `CLIPQUEUE_UPSERT` and `CLIPQUEUE_VISIBILITY_TIMEOUT_S`. `clipqueue doctor` checks this, and that they run in the same
  precision.
- A batch holds at most half of the images in flight. The other half is fetched and decoded meanwhile.
- The variables `http_proxy` and `https_proxy` are ignored; only `CLIPQUEUE_FETCH_PROXY` counts.

## Clients and commands

| Variable | Default | Meaning |
|---|---|---|
| `REDIS_URL` | | [URL of the Redis server](deployment.md#redis) that holds the queue. Commands that use it need it. |
| `MONGODB_URI`, `MONGO_URL` | | URI of the MongoDB server. For commands that read documents, and for `record=True`. |
| `CLIPQUEUE_COLLECTION` | `images` | The collection of the documents. |
| `CLIPQUEUE_URL_FIELD` | | The URL's field, as `media.imageUrl`. `backfill` needs it; `sweep` adopts documents by it. |
| `CLIPQUEUE_SWEEP_EVERY_S` | | Seconds between two sweeps. Without it, `clipqueue sweep` sweeps once. |
| `CLIPQUEUE_SWEEP_AGE_S` | `300` | Enqueue a document again that has waited this many seconds for its vector. |
| `CLIPQUEUE_SWEEP_MAX_QUEUED` | `1000` | The sweep enqueues nothing while this many jobs are waiting or in flight. |
| `CLIPQUEUE_WEBHOOK_URL` | | The URL that `clipqueue notify` sends [webhooks](webhooks.md) to; for workers too. |
| `CLIPQUEUE_WEBHOOK_SECRET` | | Signs the webhooks: `whsec_` and 24 to 64 bytes as base64; several with spaces. |
| `CLIPQUEUE_FILTER_FIELDS` | | Fields that [searches](search.md#filters) may filter by and return, with commas. |
| `CLIPQUEUE_SEARCH_INDEX` | `clipqueue` | The name of MongoDB's vector search index. |
| `CLIPQUEUE_SCAN_MAX` | `200000` | The most vectors of one model that a search keeps in memory. More need an index. |

## Metrics and health

Workers, `clipqueue serve`, `clipqueue notify` and a `clipqueue sweep` that repeats read these alike. It needs the extra
`metrics`, which `worker` and `api` include. On one machine, each process needs a port of its own. If the port is from
`PORT` and cannot be used, the process logs a warning and continues without metrics.

| Variable | Default | Meaning |
|---|---|---|
| `CLIPQUEUE_METRICS_PORT` | | The port of `/metrics`, `/livez` and `/readyz`; `0` is none. |
| `PORT` | | Instead, where a platform sets it; not for the API, which answers requests there. |
| `CLIPQUEUE_METRICS_HOST` | `127.0.0.1` | Their address; `::` is all. Keep it private, since there is no login. |

The images have `CLIPQUEUE_METRICS_HOST=0.0.0.0`.

## Read by libraries

| Variable | Meaning |
|---|---|
| `HF_ENDPOINT`, `HF_HOME`, `HF_TOKEN`, `HF_HUB_OFFLINE` | The model hub: address, cache, token, offline mode. |
| `FLOWER_BASIC_AUTH`, `FLOWER_DB`, `FLOWER_MAX_TASKS`, `PORT` | [Flower](flower.md#start-it): login, tasks and port. |
| `CUDA_VISIBLE_DEVICES` | The GPUs that PyTorch sees. |
"""


def render() -> str:
    """Return the page."""
    tables = (f"## {title}\n\n{_table(names, Settings.model_fields)}" for title, names in GROUPS.items())
    api = _API + "\n" + _table(API_ONLY, ApiSettings.model_fields)
    return "\n".join((_HEAD, *tables, api, _TAIL))


def _table(names: Iterable[str], fields: Mapping[str, FieldInfo]) -> str:
    rows = (_row(name, fields[name]) for name in names)
    return "\n".join(("| Variable | Values | Default | Meaning |", "|---|---|---|---|", *rows)) + "\n"


def _row(name: str, field: FieldInfo) -> str:
    default = "" if field.default in ("", (), SecretStr("")) else f"`{_shown(field.default)}`"
    default = default.replace(version("clipqueue"), "<version>")
    return f"| `{_variable(name, field)}` | {_values(field)} | {default} | {field.description} |"


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


def _variable(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return "`, `".join(map(str, alias.choices))
    return str(alias) if alias else f"CLIPQUEUE_{name.upper()}"


def _values(field: FieldInfo) -> str:
    kind = field.annotation
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if kind is bool:
        return "`true`, `false`"
    name = {int: "integer", float: "number"}.get(kind, "text") if isinstance(kind, type) else "list"
    return name + _bounds(field)


def _bounds(field: FieldInfo) -> str:
    bounds: dict[str, Any] = {}
    for bound in field.metadata:
        bounds |= {name: getattr(bound, name) for name in ("gt", "ge", "le") if hasattr(bound, name)}
    if "gt" in bounds:
        return f" above {bounds['gt']}" + (f", at most {bounds['le']}" if "le" in bounds else "")
    if "le" in bounds:
        return f" from {bounds['ge']} to {bounds['le']}"
    return f" of at least {bounds['ge']}" if "ge" in bounds else ""


if __name__ == "__main__":
    PAGE.write_text(render())
