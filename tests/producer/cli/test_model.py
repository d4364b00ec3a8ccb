"""`clipqueue model`: the properties of the model that a worker on this machine runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.commands import invoke, run
from worker.encode.weights import BUNDLED, model_id

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("precision", "reason"),
    [
        ("fp32", r"fp32 \(CLIPQUEUE_PRECISION=fp32\)"),
        ("auto", r"(fp32|bf16) \(measured: a batch of \d+ takes \d+\.\d ms in fp32, \d+\.\d ms in bf16\)"),
    ],
)
def test_show_prints_the_properties_of_the_model(precision: str, reason: str) -> None:
    env = {"CLIPQUEUE_PRECISION": precision, "CLIPQUEUE_DEVICE": "cpu"}
    done = invoke("model", "show", "--model", "emoji-clip", **env)
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


def test_pull_reads_the_settings_of_the_worker() -> None:
    env = {"CLIP_MODEL": "ViT-S-32-alt", "CLIP_PRETRAINED": "untrained"}
    done = invoke("model", "pull", **env)
    assert re.fullmatch(
        r"ViT-S-32-alt/untrained: [\d,]+ parameters, downloaded; a worker on this machine can load it offline\n",
        done.stdout,
    ), done.stderr


@pytest.mark.parametrize(
    ("options", "env", "code", "complaint"),
    [
        (("--model", "ViT-B-32"), {}, 2, "'ViT-B-32' is not NAME/PRETRAINED"),
        (("--model", "ViT-B-32/no-such-tag"), {}, 1, "Set CLIP_PRETRAINED to openai, "),
        ((), {"CLIPQUEUE_PRECISION": "int8"}, 1, "CLIPQUEUE_PRECISION"),
    ],
)
def test_errors_are_messages_without_a_traceback(
    options: tuple[str, ...], env: dict[str, str], code: int, complaint: str
) -> None:
    done = invoke("model", "show", *options, **env)
    assert done.returncode == code
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_message_names_the_extra_if_torch_is_not_installed(tmp_path: Path) -> None:
    """The Docker image of Flower has Celery and pydantic but no torch."""
    for module in ("torch", "open_clip"):
        (tmp_path / f"{module}.py").write_text("raise ImportError('not installed')")
    done = run("model", "show", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("clipqueue: clipqueue model needs clipqueue's extra 'worker'")
