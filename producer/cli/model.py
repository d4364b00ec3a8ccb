"""`clipqueue model` and the option `--model`, which choose and show the model of a worker."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from producer.cli.output import fail, fail_without_extra

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.settings import Settings

SMALL_MODEL = {"CLIP_MODEL": "emoji-clip", "CLIP_PRETRAINED": "bundled"}
"""The small model that ships with the project. It needs no download, and is trained on emoji only."""

LOCAL_MODEL_DEFAULT = "CLIP_MODEL and CLIP_PRETRAINED, else the small model that ships with clipqueue"
"""How the help of `up` and `demo` describes the default of `--model`."""


def default_model_env() -> dict[str, str]:
    """Return the variables that choose the model in the environment, else those of the small model."""
    return {name: os.environ[name] for name in SMALL_MODEL if os.environ.get(name)} or SMALL_MODEL


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
    """Return the option `--model`. Its value is a dict of the variables that choose the model, empty if not given."""
    return click.option(
        "--model",
        "model_env",
        callback=_read_model,
        metavar="NAME/PRETRAINED",
        help=f"Such as ViT-B-32-quickgelu/openai, emoji-clip or hf-hub:org/repo. By default {default}.",
    )


@click.group()
def model() -> None:
    """Show the model that a worker runs, or download it in advance.

    Needs the extra `worker`. Reads CLIP_MODEL, CLIP_PRETRAINED and the CLIPQUEUE_ variables as the worker does.
    """


@model.command()
@model_option("CLIP_MODEL and CLIP_PRETRAINED")
def pull(model_env: dict[str, str]) -> None:
    """Download the weights into the model hub's cache (HF_HOME), so that a worker can start without a network."""
    with _errors_as_messages():
        settings = _load_settings(model_env)
        from worker.encode.weights import load_model, model_id  # noqa: PLC0415  (imports torch, which takes seconds)

        loaded = load_model(settings.clip_model, settings.clip_pretrained)
    count = sum(parameter.numel() for parameter in loaded.parameters())
    name = model_id(settings.clip_model, settings.clip_pretrained)
    click.echo(f"{name}: {count:,} parameters, downloaded; a worker on this machine can load it offline")


@model.command()
@model_option("CLIP_MODEL and CLIP_PRETRAINED")
def show(model_env: dict[str, str]) -> None:
    """Load the model as a worker on this machine would, and print its properties."""
    with _errors_as_messages():
        settings = _load_settings(model_env)
        from worker.encode.open_clip import EncoderConfig, OpenClipEncoder  # noqa: PLC0415  (imports torch)

        encoder = OpenClipEncoder(EncoderConfig.of(settings))
    click.echo(f"id          {encoder.model_id}")
    click.echo(f"dimension   {encoder.dim}")
    click.echo(f"parameters  {encoder.parameters:,}")
    click.echo(f"input       {encoder.spec.width}x{encoder.spec.height} pixels")
    click.echo(f"device      {encoder.device}")
    click.echo(f"precision   {encoder.precision} ({encoder.precision_reason})")


def _load_settings(model_env: dict[str, str]) -> Settings:
    from worker.settings import load_settings  # noqa: PLC0415  (needs pydantic)

    os.environ.update(model_env)
    return load_settings()


@contextmanager
def _errors_as_messages() -> Iterator[None]:
    """Print an error of the installation, the settings or the model as a message, and exit with 1."""
    from worker.errors import StartupError  # noqa: PLC0415

    try:
        from worker.settings import SettingsError  # noqa: PLC0415  (needs pydantic)
    except ImportError:
        fail_without_extra("clipqueue model", "worker")
    try:
        yield
    except ImportError:
        fail_without_extra("clipqueue model", "worker")
    except (SettingsError, StartupError) as exc:
        fail(str(exc).removeprefix("clipqueue: "))
