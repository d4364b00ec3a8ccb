"""Builds the images of the Dockerfile."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.image_check import torch_index
from tests.support.image_check.base import STAND_IN, find_base, load_stand_in

if TYPE_CHECKING:
    from contextlib import ExitStack

    from tests.support.image_check.engine import Engine
    from tests.support.image_check.report import Report

ROOT = Path(__file__).parents[3]
SERVICES = ("worker", "sweep", "flower", "api")
# No weights are downloaded.
MODEL = {"CLIP_MODEL": "emoji-clip", "CLIP_PRETRAINED": "bundled"}
# A made-up token. No layer of the image may contain it.
SECRET = "hf_0123456789imagecheck"
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass
class Plan:
    """What the images are built from.

    Attributes:
        arguments: The build arguments.
        contexts: The folder of each image that is not built from the project's own.
    """

    arguments: dict[str, str] = field(default_factory=dict)
    contexts: dict[str, Path] = field(default_factory=dict)

    def context(self, service: str) -> Path:
        """Return the folder that is sent to the engine."""
        return self.contexts.get(service, ROOT)


def image_name(service: str) -> str:
    return f"clipqueue-image-check:{service}"


def argument(name: str) -> str:
    """Return the default value of a build argument in the Dockerfile."""
    found = re.search(rf"^ARG {name}=(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert found, f"the Dockerfile has no argument {name}"
    return found[1].strip('"')


def make_plan(engine: Engine, cache: Path, report: Report) -> Plan:
    """Choose the base image, and say what stands in for what cannot be reached."""
    proxies = {name: os.environ[name] for name in _PROXIES if os.environ.get(name)}
    plan = Plan(arguments={**MODEL, **proxies})
    report.say("all", "model", "emoji-clip, which ships with the project: no weights are downloaded")
    _choose_base(plan, engine, cache, report)
    return plan


def _choose_base(plan: Plan, engine: Engine, cache: Path, report: Report) -> None:
    base = argument("PYTHON_IMAGE")
    if find_base(engine, base):
        report.say("all", "base image", base)
        return
    started = time.monotonic()
    load_stand_in(engine, cache)
    plan.arguments["PYTHON_IMAGE"] = STAND_IN
    seconds = f"ready in {time.monotonic() - started:.0f} s"
    report.say("all", "base image", f"a stand-in for {base}, which cannot be pulled: Debian 12, its Python; {seconds}")


def choose_torch(plan: Plan, cache: Path, report: Report, stack: ExitStack) -> None:
    """Choose the index of PyTorch. A stand-in serves until `stack` is closed."""
    index = os.environ.get("TORCH_INDEX_URL") or argument("TORCH_INDEX_URL")
    if torch_index.answers(index):
        plan.arguments["TORCH_INDEX_URL"] = index
        return
    version = torch_index.version_of(torch_index.find_wheel())
    context = plan.contexts["worker"] = copy_with_torch(cache / "context", version)
    wheels = cache / "wheels"
    torch_index.collect(wheels, context / "requirements.lock")
    server = torch_index.serve(wheels)
    stack.callback(server.close)
    plan.arguments["TORCH_INDEX_URL"] = server.url
    report.say("all", "PyTorch", f"{version}+cpu from this machine, since the Dockerfile's index cannot be reached")


def copy_with_torch(folder: Path, version: str) -> Path:
    """Copy the project to `folder`, with these versions of PyTorch in requirements.lock, and return the folder."""
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(
        ROOT, folder, ignore=shutil.ignore_patterns(".git", ".venv*", "node_modules", "__pycache__", ".*_cache")
    )
    lock = folder / "requirements.lock"
    text = re.sub(r"(?m)^torch==.*$", f"torch=={version}", lock.read_text())
    lock.write_text(re.sub(r"(?m)^torchvision==.*$", f"torchvision=={torch_index.torchvision_for(version)}", text))
    return folder


def build(engine: Engine, plan: Plan, service: str, target: list[str], tag: str, token: Path) -> float:
    """Build one image and return the seconds it took.

    Raises:
        EngineError: A step failed.
    """
    started = time.monotonic()
    options = [part for name, value in plan.arguments.items() for part in ("--build-arg", f"{name}={value}")]
    secret = ["--secret", f"id=hf_token,src={token}"]
    arguments = ["--network", "host", "--progress", "plain", *options, *secret, *target, "--tag", tag]
    engine.run("build", *arguments, str(plan.context(service)))
    return time.monotonic() - started


def configuration(engine: Engine, tag: str) -> dict[str, Any]:
    """Return the image's command, user, health check and so on."""
    config: dict[str, Any] = json.loads(engine.run("image", "inspect", tag))[0]["Config"]
    return {name: config.get(name) for name in ("Cmd", "Entrypoint", "User", "Healthcheck", "WorkingDir", "Env")}
