"""The API's settings, its keys, and the names of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from producer.api.failures import ApiError
from producer.api.keys import find_key, parse_keys
from producer.api.model_names import ModelNames
from producer.api.settings import ApiSettings, load_api_settings
from producer.contract.errors import ConfigurationError
from tests.support.api import ENQUEUE_KEY, KEY, KEYS, SEARCH_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

CLIP = "ViT-B-32-quickgelu/openai"


def settings_of(monkeypatch: pytest.MonkeyPatch, env: Mapping[str, str]) -> ApiSettings:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return load_api_settings()


@pytest.mark.parametrize(
    ("env", "name", "value"),
    [
        ({}, "redis_url", "redis://localhost:6379/0"),
        ({"REDIS_URL": "rediss://:p@r:1/2"}, "redis_url", "rediss://:p@r:1/2"),
        ({}, "mongodb_uri", "mongodb://localhost:27017/clipqueue"),
        ({"MONGO_URL": "mongodb://m/db"}, "mongodb_uri", "mongodb://m/db"),
        ({"CLIPQUEUE_COLLECTION": "photos"}, "collection", "photos"),
        ({}, "host", "127.0.0.1"),
        ({"CLIPQUEUE_API_KEYS": KEYS}, "host", "0.0.0.0"),
        ({"CLIPQUEUE_API_KEYS": KEYS, "CLIPQUEUE_API_HOST": "::"}, "host", "::"),
        ({"CLIPQUEUE_API_HOST": "::1"}, "host", "::1"),
        ({}, "api_port", 8000),
        ({"PORT": "9"}, "api_port", 9),
        ({"PORT": "9", "CLIPQUEUE_API_PORT": "10"}, "api_port", 10),
        ({"CLIPQUEUE_API_MODEL": CLIP}, "api_model", CLIP),
        ({"CLIPQUEUE_API_ANY_MODEL": "true"}, "api_any_model", True),
        ({"CLIPQUEUE_API_REQUESTS_PER_S": "0.5"}, "api_requests_per_s", 0.5),
        ({"CLIPQUEUE_API_UPLOADS": "2"}, "api_uploads", 2),
        (
            {"CLIPQUEUE_API_CORS_ORIGINS": "https://a.example, http://b:1"},
            "api_cors_origins",
            ("https://a.example", "http://b:1"),
        ),
        ({"CLIPQUEUE_QUERIES_MAX": "9"}, "queries_max", 9),
    ],
)
def test_each_variable_is_read(monkeypatch: pytest.MonkeyPatch, env: dict[str, str], name: str, value: object) -> None:
    assert getattr(settings_of(monkeypatch, env), name) == value


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"REDIS_URL": "http://secret"}, "REDIS_URL"),
        ({"CLIPQUEUE_COLLECTION": ""}, None),
        ({"CLIPQUEUE_API_HOST": "0.0.0.0"}, "CLIPQUEUE_API_KEYS"),
        ({"CLIPQUEUE_API_HOST": "192.168.1.7"}, "CLIPQUEUE_API_KEYS"),
        ({"PORT": "http"}, "CLIPQUEUE_API_PORT"),
        ({"CLIPQUEUE_API_KEYS": "secret"}, "key 1"),
        ({"CLIPQUEUE_API_KEYS": f"{KEY},{KEY}:search"}, "twice"),
        ({"CLIPQUEUE_API_KEYS": f"{KEY}:serach"}, "search or enqueue"),
        ({"CLIPQUEUE_API_KEYS": "secret secret secret"}, "key 1"),
        ({"CLIPQUEUE_API_REQUESTS_PER_S": "0"}, "CLIPQUEUE_API_REQUESTS_PER_S"),
        ({"CLIPQUEUE_API_CORS_ORIGINS": "*"}, "CLIPQUEUE_API_CORS_ORIGINS"),
        ({"CLIPQUEUE_API_CORS_ORIGINS": "https://a.example/"}, "CLIPQUEUE_API_CORS_ORIGINS"),
        ({"CLIPQUEUE_QUERIES_MAX": "0"}, "CLIPQUEUE_QUERIES_MAX"),
    ],
)
def test_a_wrong_variable_is_named_and_its_secret_is_not(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], named: str | None
) -> None:
    if named is None:
        settings_of(monkeypatch, env)  # an empty variable counts as none
        return
    with pytest.raises(ConfigurationError, match=named) as caught:
        settings_of(monkeypatch, env)
    assert "secret" not in str(caught.value)
    assert KEY not in str(caught.value)


def test_the_settings_show_no_secret() -> None:
    settings = ApiSettings(api_keys=KEYS, REDIS_URL="redis://:secret@h", MONGODB_URI="mongodb://u:secret@h")
    assert "secret" not in repr(settings)
    assert KEY not in repr(settings)


def test_a_key_is_found_with_what_it_may_do() -> None:
    keys = parse_keys(f" {KEYS} ,")
    scopes = {
        given: found.scopes if (found := find_key(keys, given)) else None for given in (KEY, SEARCH_KEY, ENQUEUE_KEY)
    }
    assert scopes == {
        KEY: frozenset(("search", "enqueue")),
        SEARCH_KEY: frozenset(("search",)),
        ENQUEUE_KEY: frozenset(("enqueue",)),
    }
    for wrong in ("", KEY[:-1], KEY + "x", KEY.upper(), f"{SEARCH_KEY}:search", "\ud800"):
        assert find_key(keys, wrong) is None


@pytest.mark.parametrize(
    ("name", "live", "default", "found"),
    [
        (CLIP, [CLIP], "", CLIP),
        ("openai/clip-vit-base-patch32", [CLIP, "other/model"], "", CLIP),
        ("clip", ["other/model"], "", "other/model"),
        ("default", [CLIP, "other/model"], "other/model", "other/model"),
        ("default", [CLIP, "other/model"], "openai/clip-vit-base-patch32", CLIP),
        ("other/model", [CLIP, "other/model"], CLIP, "other/model"),
        ("openai/clip-vit-base-patch32", ["other/model"], "", 404),
        ("clip", [CLIP, "other/model"], "", 400),
        ("clip", ["other/model"], CLIP, 404),
        ("unknown", [CLIP], CLIP, 404),
    ],
)
def test_a_name_means_one_live_model_or_none(name: str, live: list[str], default: str, found: Any) -> None:
    names = ModelNames(default)
    if isinstance(found, str):
        assert names.find(name, live) == found
        return
    with pytest.raises(ApiError) as caught:
        names.find(name, live)
    assert (caught.value.status, caught.value.param) == (found, "model")


def test_the_names_of_a_model_are_those_that_find_it() -> None:
    live = [CLIP, "other/model"]
    for names in (ModelNames(), ModelNames(CLIP), ModelNames("other/model")):
        for model in live:
            assert all(names.find(alias, live) == model for alias in names.aliases(model, live))
    assert ModelNames().aliases(CLIP, [CLIP]) == ["openai/clip-vit-base-patch32", "clip", "default"]
    assert ModelNames(any_model=True).find("unknown", [CLIP]) == CLIP
