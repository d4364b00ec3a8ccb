"""A service's container, run as hardened as the service allows: no privileges, and only /tmp is writable."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.support.image_check.build import image_name
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

    from tests.support.image_check.engine import Engine

HARDENED = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]  # noqa: S108
_HEALTH_RUNS = 10
_CPU_MS = """\
import resource, subprocess, sys
for _ in range(int(sys.argv[1])):
    subprocess.run(sys.argv[2:])
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
sys.stderr.write(str(1000 * (usage.ru_utime + usage.ru_stime) / int(sys.argv[1])))
"""
_STATUS = """\
lines = open("/proc/1/status").read().splitlines()
fields = dict(line.split(":", 1) for line in lines)
command = open("/proc/1/cmdline").read().split(chr(0))[:-1]
print(fields["Uid"].split()[0], fields["CapEff"].strip(), fields["NoNewPrivs"].strip(), " ".join(command))
"""


class Container:
    """A container that runs, or has run."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, as the service's user."""
        return self._engine.attempt("exec", self._name, *command)

    def inspect(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._engine.run("container", "inspect", self._name))[0]
        return found

    def logs(self) -> str:
        done = self._engine.attempt("logs", self._name)
        return done.stdout + done.stderr

    def health_command(self) -> list[str]:
        """Return the command of the image's HEALTHCHECK."""
        kind, *command = self.inspect()["Config"]["Healthcheck"]["Test"]
        return ["sh", "-c", *command] if kind == "CMD-SHELL" else command

    def check_health(self) -> subprocess.CompletedProcess[str]:
        return self.execute(*self.health_command())

    def health_cpu_ms(self) -> float:
        """Return how much time of a processor one health check takes, in milliseconds, over ten runs."""
        command = ["python", "-I", "-S", "-c", _CPU_MS, str(_HEALTH_RUNS), *self.health_command()]
        return float(self.execute(*command).stderr)

    def wait_for_health(self, status: str, seconds: float) -> float:
        """Wait until the engine says that the container has this health, and return the seconds."""
        started = time.monotonic()
        try:
            wait_for(lambda: self._health() == status, f"the engine to say {status}", seconds)
        except AssertionError as exc:
            raise AssertionError(f"{exc}; the check says: {self.check_health().stderr.strip()}") from None
        return time.monotonic() - started

    def process_one(self) -> str:
        """Return user id, capabilities, whether privileges can be gained, and command of process 1."""
        return self.execute("python", "-I", "-S", "-c", _STATUS).stdout.strip()

    def send(self, signal: str) -> None:
        self._engine.run("kill", "--signal", signal, self._name)

    def wait(self) -> int:
        """Wait until the container has ended, and return its exit code."""
        return int(self._engine.run("wait", self._name))

    def stop(self, grace_s: int) -> tuple[int, float]:
        """Send SIGTERM, and SIGKILL after `grace_s`; return the exit code and the seconds it took."""
        started = time.monotonic()
        self._engine.run("stop", "--time", str(grace_s), self._name)
        return self.wait(), time.monotonic() - started

    def _health(self) -> str:
        state = self.inspect()["State"]
        assert state["Running"], f"the container has ended with {state['ExitCode']}: {self.logs()[-2000:]}"
        return str(state["Health"]["Status"])


@contextmanager
def running(engine: Engine, service: str, env: Mapping[str, str], *options: str) -> Iterator[Container]:
    """Run a service's image in the network of this machine for a block; `options` are those of `docker run`."""
    name = f"clipqueue-image-check-{service}-{uuid.uuid4().hex[:8]}"
    variables = [part for key, value in env.items() for part in ("--env", f"{key}={value}")]
    try:
        engine.run(
            "run", "--detach", "--name", name, "--network", "host", *HARDENED, *variables, *options, image_name(service)
        )
        yield Container(engine, name)
    finally:
        engine.attempt("rm", "--force", "--volumes", name)
