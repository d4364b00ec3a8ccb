"""A shell full of settings that are meant for other workers, and would stop or spoil the embedded stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import AliasChoices

from producer.api.settings import ApiSettings
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_settings import BaseSettings

MODEL = ("CLIP_MODEL", "CLIP_PRETRAINED")

# No value of a setting that is not listed is valid, so a worker or an API that reads it does not start.
_INVALID = "not a value"
_HARMFUL = {
    "CLIPQUEUE_UPSERT": "false",
    "CLIPQUEUE_SERVE": "queries",
    "CLIPQUEUE_COLLECTION": "elsewhere",
    "CLIPQUEUE_DEVICE": "cuda:7",
    "CLIPQUEUE_FETCH_PORTS": "443",
    "CLIPQUEUE_FETCH_PROXY": "http://127.0.0.1:9",
    "CLIPQUEUE_HEALTH_FILE": "/proc/no-such-folder/file",
    "CLIPQUEUE_API_KEYS": "both-0123456789abcdef",
    "CLIPQUEUE_API_HOST": "0.0.0.0",
    "REDIS_URL": "redis://127.0.0.1:9/0",
    "MONGODB_URI": "mongodb://127.0.0.1:9/elsewhere",
    "MONGO_URL": "mongodb://127.0.0.1:9/elsewhere",
    "CELERY_BROKER_URL": "redis://127.0.0.1:9/0",
    "CELERY_BROKER_READ_URL": "redis://127.0.0.1:9/0",
    "CELERY_CONFIG_MODULE": "no_such_module",
    "CELERY_LOADER": "no_such_module:Loader",
    "CELERY_WORKER_HOSTNAME": "elsewhere@elsewhere",
    "FORKED_BY_MULTIPROCESSING": "1",
    "HF_ENDPOINT": "http://127.0.0.1:9",
    "HF_HUB_OFFLINE": "1",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "LC_ALL": "xx_XX",
    "PORT": "9",
    "CLIPQUEUE_FILTER_FIELDS": "$where",
    "CLIPQUEUE_SCAN_MAX": "0",
    "CLIPQUEUE_SEARCH_INDEX": "elsewhere",
    "CLIPQUEUE_WEBHOOK_SECRET": _INVALID,
    "CLIPQUEUE_METRICS_PORT": _INVALID,
}


def _names(settings: type[BaseSettings]) -> Iterator[str]:
    for name, field in settings.model_fields.items():
        alias: Any = field.validation_alias
        if isinstance(alias, AliasChoices):
            yield from (str(choice) for choice in alias.choices)
        else:
            yield alias or f"CLIPQUEUE_{name.upper()}"


SETTINGS = sorted({*_names(Settings), *_names(ApiSettings)} - {*MODEL})
"""The variables of all settings of the worker and the API, but for the model."""

NASTY_SHELL = {**dict.fromkeys(SETTINGS, _INVALID), **_HARMFUL}
