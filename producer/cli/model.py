"""`clipqueue model` and the option `--model`: which model a worker runs."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from producer.cli.output import fail, fail_for_extra

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.settings import Settings

SMALL_MODEL = {"CLIP_MODEL": "emoji-clip", "CLIP_PRETRAINED": "bundled"}
"""The small model that ships with the project: it needs no download, and knows emoji and little else."""


def small_unless_set() -> dict[str, str]:
    """Return the variables for the small model, or nothing if this shell has chosen a model."""
    return {} if any(os.environ.get(name) for name in SMALL_MODEL) else SMALL_MODEL


def _read_model(_context: click.Context, _option: click.Parameter, value: str | None) -> dict[str, str]:
    if value is None:
        return {}
    if value == SMALL_MODEL["CLIP_MODEL"]:
        return SMALL_MODEL
    if value.startswith(("hf-hub:", "local-dir:")):
        return {"CLIP_MODEL": value}
    name, _, pretrained = value.partition("/")
    if not (name and pretrained):
        raise click.BadParameter(f"{value!r} is not NAME/PRETRAINED, such as ViT-B-32-quickgelu/openai")
    return {"CLIP_MODEL": name, "CLIP_PRETRAINED": pretrained}


def model_option(default: str) -> Callable[[Any], Any]:
    """Return the option `--model`, whose value are the variables that choose the model, or nothing if not given."""
    return click.option(
        "--model",
        "model_env",
        callback=_read_model,
        metavar="NAME/PRETRAINED",
        help=f"Such as ViT-B-32-quickgelu/openai, emoji-clip or hf-hub:org/repo. By default {default}.",
    )


@click.group()
def model() -> None:
    """Look at the model that a worker runs, or download it ahead of time.

    Needs the extra `worker`. Reads CLIP_MODEL, CLIP_PRETRAINED and the CLIPQUEUE_ variables as the worker does.
    """


@model.command()
@model_option("CLIP_MODEL and CLIP_PRETRAINED")
def pull(model_env: dict[str, str]) -> None:
    """Download the weights into the model hub's cache (HF_HOME), so that a worker starts without a network."""
    with _explained():
        settings = _settings(model_env)
        from worker.encode.weights import load_model, model_id  # noqa: PLC0415  (takes seconds: torch)

        loaded = load_model(settings.clip_model, settings.clip_pretrained)
    count = sum(parameter.numel() for parameter in loaded.parameters())
    click.echo(f"{model_id(settings.clip_model, settings.clip_pretrained)}: {count:,} parameters, ready to load here")


@model.command()
@model_option("CLIP_MODEL and CLIP_PRETRAINED")
def show(model_env: dict[str, str]) -> None:
    """Load the model as a worker here would, and print what it is and how it runs."""
    with _explained():
        settings = _settings(model_env)
        from worker.encode.open_clip import EncoderConfig, OpenClipEncoder  # noqa: PLC0415  (takes seconds: torch)

        encoder = OpenClipEncoder(EncoderConfig.of(settings))
    click.echo(f"id          {encoder.model_id}")
    click.echo(f"dimension   {encoder.dim}")
    click.echo(f"parameters  {encoder.parameters:,}")
    click.echo(f"input       {encoder.spec.width}x{encoder.spec.height} pixels")
    click.echo(f"device      {encoder.device}")
    click.echo(f"precision   {encoder.precision} ({encoder.precision_reason})")


def _settings(model_env: dict[str, str]) -> Settings:
    from worker.settings import load_settings  # noqa: PLC0415  (the base install has no pydantic)

    os.environ.update(model_env)
    return load_settings()


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what can be wrong with the installation, the settings and the model into a message."""
    from worker.errors import ModelUnavailable  # noqa: PLC0415  (with the rest of the worker)

    try:
        from worker.settings import SettingsError  # noqa: PLC0415  (the base install has no pydantic)
    except ImportError:
        fail_for_extra("clipqueue model", "worker")
    try:
        yield
    except ImportError:
        fail_for_extra("clipqueue model", "worker")
    except (SettingsError, ModelUnavailable) as exc:
        fail(str(exc).removeprefix("clipqueue: "))
