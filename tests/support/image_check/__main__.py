"""`python -m tests.support.image_check`: exits with 1 if anything differs from what it should be.

Arguments name the images to check: worker, sweep, flower, api; without any, all four.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from producer.local.stack import Stack
from tests.support.image_check.build import (
    ROOT,
    SECRET,
    SERVICES,
    build,
    choose_torch,
    configuration,
    image_name,
    make_plan,
)
from tests.support.image_check.contents import check_contents, check_layers
from tests.support.image_check.engine import EngineError, running_engine
from tests.support.image_check.other_checks import check_api, check_flower, check_sweep
from tests.support.image_check.report import Report
from tests.support.image_check.torch_index import TorchIndexError
from tests.support.image_check.worker_check import check_worker

if TYPE_CHECKING:
    from tests.support.image_check.build import Plan
    from tests.support.image_check.engine import Engine

# The stand-ins of the base image and of PyTorch's index stay here; `make clean` removes them.
# Its name has no link in it, which a container's root must not have.
CACHE = (ROOT / ".venv" / "image-check").resolve()
_RUNS = {"worker": check_worker, "sweep": check_sweep, "flower": check_flower, "api": check_api}


def main() -> int:
    """Check the images, and print a table."""
    services = sys.argv[1:] or SERVICES
    if unknown := set(services) - set(SERVICES):
        sys.exit(f"there is no image {', '.join(unknown)}: name some of {', '.join(SERVICES)}")
    # A signal ends this like Ctrl-C does, so that the engine and its containers end too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    report = Report()
    try:
        with ExitStack() as stack:
            _check(report, services, stack)
    except (EngineError, TorchIndexError) as exc:
        sys.stdout.write(f"{exc}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        report.print_table()
    return 1 if report.failures else 0


def _check(report: Report, services: list[str] | tuple[str, ...], stack: ExitStack) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    engine = stack.enter_context(running_engine(CACHE / "engine"))
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    report.say("all", "engine", engine.run("version", "--format", "Docker {{.Server.Version}}").strip())
    plan = make_plan(engine, CACHE, report)
    if "worker" in services:
        choose_torch(plan, CACHE, report, stack)
    stack.callback(_remove_images, engine)
    token = folder / "token"
    token.write_text(SECRET)
    for service in services:
        _build(report, engine, plan, service, token)
    servers = stack.enter_context(Stack(folder))
    servers.start_servers()
    for service in services:
        with report.part(service, "contents"):
            check_contents(report, engine, plan, service)
            check_layers(report, engine, service)
        _RUNS[service](report, engine, servers)


def _build(report: Report, engine: Engine, plan: Plan, service: str, token: Path) -> None:
    """Build a service's image by its stage, and as platforms do that can only build the last stage."""
    seconds = build(engine, plan, service, ["--target", service], image_name(service), token)
    report.say(service, "built in", f"{seconds:.0f} s")
    last = image_name(f"{service}-last")
    build(engine, plan, service, ["--build-arg", f"CLIPQUEUE_IMAGE={service}"], last, token)
    same = configuration(engine, last) == configuration(engine, image_name(service))
    report.check(service, "the last stage is the same by CLIPQUEUE_IMAGE", configuration(engine, last)["Cmd"], same)


def _remove_images(engine: Engine) -> None:
    names = engine.run("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    ours = [name for name in names if name.startswith("clipqueue-image-check")]
    engine.attempt("rmi", "--force", *ours)


if __name__ == "__main__":
    sys.exit(main())
