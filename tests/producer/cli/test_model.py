"""`clipqueue model`: what a worker here would run, and why."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.commands import run
from worker.encode.weights import BUNDLED, model_id

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("precision", "reason"),
    [
        ("fp32", r"fp32 \(CLIPQUEUE_PRECISION=fp32\)"),
        ("auto", r"(fp32|bf16) \(measured: a batch of 4 takes \d+\.\d ms in fp32, \d+\.\d ms in bf16\)"),
    ],
)
def test_show_prints_what_a_worker_here_would_run(precision: str, reason: str) -> None:
    env = {"CLIPQUEUE_PRECISION": precision, "CLIPQUEUE_DEVICE": "cpu"}
    done = run("model", "show", "--model", "emoji-clip", **env)
    assert done.returncode == 0, done.stderr
    shown = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert re.fullmatch(reason, shown.pop("precision"))
    assert shown == {
        "id": model_id("emoji-clip", BUNDLED),
        "dimension": "256",
        "parameters": "5,740,625",
        "input": "64x64 pixels",
        "device": "cpu",
    }


def test_show_and_pull_take_the_workers_settings() -> None:
    env = {"CLIP_MODEL": "ViT-S-32-alt", "CLIP_PRETRAINED": "untrained"}
    done = run("model", "pull", **env)
    assert re.fullmatch(r"ViT-S-32-alt/untrained: [\d,]+ parameters, ready to load here\n", done.stdout), done.stderr


@pytest.mark.parametrize(
    ("options", "env", "code", "complaint"),
    [
        (("--model", "ViT-B-32"), {}, 2, "'ViT-B-32' is not NAME/PRETRAINED"),
        (("--model", "ViT-B-32/no-such-tag"), {}, 1, "Set CLIP_PRETRAINED to openai, "),
        ((), {"CLIPQUEUE_PRECISION": "int8"}, 1, "CLIPQUEUE_PRECISION"),
    ],
)
def test_what_cannot_be_shown_is_explained(
    options: tuple[str, ...], env: dict[str, str], code: int, complaint: str
) -> None:
    done = run("model", "show", *options, **env)
    assert done.returncode == code
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_without_the_worker_it_says_what_to_install(tmp_path: Path) -> None:
    """As in the image of Flower, which has Celery and pydantic but no torch."""
    for module in ("torch", "open_clip"):
        (tmp_path / f"{module}.py").write_text("raise ImportError('not installed')")
    done = run("model", "show", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("clipqueue: clipqueue model needs clipqueue's extra 'worker'")
