"""Which variables of the shell reach the worker and the API of `clipqueue demo` and `clipqueue up`."""

from __future__ import annotations

import pytest

from producer.api.settings import ApiSettings
from producer.cli.model import SMALL_MODEL, default_model_env
from producer.local.environment import SHORT_RETRIES, demo_environment, notes_for_up, up_environment
from tests.producer.local.nasty import MODEL, NASTY_SHELL, SETTINGS
from worker.settings import Settings

OTHER_MODEL = {"CLIP_MODEL": "ViT-B-32-quickgelu", "CLIP_PRETRAINED": "openai"}


@pytest.mark.parametrize("name", sorted(NASTY_SHELL))
def test_no_setting_for_other_workers_reaches_the_demo(name: str) -> None:
    assert demo_environment({name: NASTY_SHELL[name]}, SMALL_MODEL) == {**SHORT_RETRIES, **SMALL_MODEL}


def test_the_worker_and_the_api_of_the_demo_have_their_default_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the retries. A setting that is added is covered too: the nasty shell has all fields of both classes."""
    assert {"CLIPQUEUE_UPSERT", "CLIPQUEUE_API_KEYS", "REDIS_URL", "MONGO_URL", "PORT"} <= {*SETTINGS}
    environment = demo_environment(NASTY_SHELL, SMALL_MODEL)
    for name in (*SETTINGS, *MODEL):
        monkeypatch.delenv(name, raising=False)
    for name, value in SHORT_RETRIES.items():
        monkeypatch.setenv(name, value)
    defaults = Settings(), ApiSettings()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Settings() == defaults[0].model_copy(update={name.lower(): value for name, value in SMALL_MODEL.items()})
    assert ApiSettings() == defaults[1]


def test_the_demo_keeps_what_programs_need_to_run() -> None:
    needed = {"PATH": "/bin", "HOME": "/root", "TMPDIR": "/scratch", "PYTHONPATH": "/src", "CUDA_VISIBLE_DEVICES": "1"}
    assert demo_environment(needed, SMALL_MODEL) == {**needed, **SHORT_RETRIES, **SMALL_MODEL}


def test_only_a_model_that_may_be_downloaded_gets_the_hub_and_the_proxy() -> None:
    hub = {"HF_ENDPOINT": "https://hub.example", "HF_TOKEN": "secret", "https_proxy": "http://proxy.example"}
    assert demo_environment(hub, OTHER_MODEL) == {**hub, **SHORT_RETRIES, **OTHER_MODEL}
    assert demo_environment(hub, SMALL_MODEL) == {**SHORT_RETRIES, **SMALL_MODEL}


@pytest.mark.parametrize(
    ("shell", "expected"),
    [({}, SMALL_MODEL), ({"CLIP_MODEL": "a", "CLIP_PRETRAINED": ""}, {"CLIP_MODEL": "a"}), (OTHER_MODEL, OTHER_MODEL)],
)
def test_the_shell_may_choose_the_model(
    shell: dict[str, str], expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in MODEL:
        monkeypatch.delenv(name, raising=False)
    for name, value in shell.items():
        monkeypatch.setenv(name, value)
    assert default_model_env() == expected


def test_up_passes_on_all_but_what_would_break_the_stack() -> None:
    passed = {"CLIPQUEUE_API_ANY_MODEL": "true", "CLIPQUEUE_UPSERT": "false", "HTTPS_PROXY": "http://proxy.example"}
    broken = (
        "REDIS_URL",
        "MONGODB_URI",
        "MONGO_URL",
        "PORT",
        "CLIPQUEUE_SERVE",
        "CELERY_BROKER_URL",
        "CLIPQUEUE_LOG_FORMAT",
    )
    assert up_environment({**passed, **dict.fromkeys(broken, "elsewhere")}) == passed


def test_up_names_the_variables_that_apply_and_those_that_do_not_without_their_values() -> None:
    shell = {
        "CLIPQUEUE_API_KEYS": "both-0123456789abcdef",
        "CLIPQUEUE_UPSERT": "False",
        "CLIPQUEUE_SERVE": "queries",
        "MONGO_URL": "mongodb://user:secret@elsewhere",
        "CLIP_MODEL": "one",
        "CLIP_PRETRAINED": "",
        "HOME": "/root",
    }
    assert notes_for_up(shell, {}) == [
        "from your shell, these apply here: CLIPQUEUE_API_KEYS, CLIPQUEUE_UPSERT, CLIP_MODEL",
        "from your shell, these do not apply here: CLIPQUEUE_SERVE, MONGO_URL",
        "CLIPQUEUE_UPSERT is off: the job of an id without a document is dropped",
    ]
    assert notes_for_up({"CLIP_MODEL": "one"}, OTHER_MODEL) == ["from your shell, these do not apply here: CLIP_MODEL"]
    assert notes_for_up({"HOME": "/root", "CLIPQUEUE_UPSERT": ""}, {}) == []
