"""A Docker engine: the one that answers here, or one that lives as long as the check does.

The engine of its own is `dockerd` of Debian's package docker.io. It is the first process of a process namespace, and
has its own mounts. However it ends, the kernel ends its containers and removes its mounts with it. It changes no
network settings: images are built and run in the network of this machine, and reach servers on its loopback addresses.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from producer.local.guardian import start_guarded
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

NEEDED = """\
a Docker engine is needed. Start one, or run this as root on Linux with these packages of Debian, which give one for the
check alone:
  apt-get install --no-install-recommends docker.io mmdebstrap"""

_CGROUP = "clipqueue-image-check"
_START_S = 60.0
_STOP_S = 40.0
_BUILDKIT_INSIDE = 23  # older clients speak BuildKit without the plugin buildx

# What a daemon writes outside its own folders, it writes into these mounts, which end with it.
_IN_OWN_MOUNTS = (
    'for folder in /run /opt /etc/docker; do [ ! -d $folder ] || mount -t tmpfs tmpfs $folder; done; exec "$@"'
)
_UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


class EngineError(Exception):
    """A command of the Docker client failed, or there is no engine."""


class Engine:
    """A Docker client with the address of an engine."""

    def __init__(self, client: str, host: str = "") -> None:
        self._client = client
        self._env = {**os.environ, "DOCKER_BUILDKIT": "1", **({"DOCKER_HOST": host} if host else {})}

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Return the output of `docker ARGUMENTS`.

        Raises:
            EngineError: It failed; the message ends with its last lines.
        """
        done = self.attempt(*arguments, stdin=stdin)
        if done.returncode:
            tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-20:])
            raise EngineError(f"docker {' '.join(arguments[:2])} exited with {done.returncode}:\n{tail}")
        return done.stdout

    def attempt(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run `docker ARGUMENTS`, which may fail."""
        command = [self._client, *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, env=self._env, check=False)

    def answers(self) -> bool:
        return self.attempt("version").returncode == 0


@contextmanager
def running_engine(folder: Path) -> Iterator[Engine]:
    """Yield the engine that answers, or start one that keeps its images in `folder` and removes them.

    Raises:
        EngineError: There is none, and none can be started.
    """
    client = _find_client()
    if (engine := Engine(client)).answers():
        yield engine
        return
    if not (shutil.which("dockerd") and shutil.which("unshare") and os.geteuid() == 0):
        raise EngineError(NEEDED)
    with tempfile.TemporaryDirectory(prefix="clipqueue-") as sockets:
        process = _start_daemon(folder, Path(sockets))
        try:
            engine = Engine(client, f"unix://{sockets}/docker.sock")
            wait_for(lambda: _is_up(engine, process, folder), "dockerd to answer", _START_S)
            yield engine
        finally:
            _stop(process)
            _remove_cgroups()
            shutil.rmtree(folder)


def _find_client() -> str:
    """Return a Docker client that can build with BuildKit."""
    for path in os.environ["PATH"].split(os.pathsep):
        client = shutil.which("docker", path=path)
        if client and (_has_buildx(client) or _major_version(client) < _BUILDKIT_INSIDE):
            return client
    raise EngineError(NEEDED)


def _has_buildx(client: str) -> bool:
    return subprocess.run([client, "buildx", "version"], capture_output=True, check=False).returncode == 0


def _major_version(client: str) -> int:
    text = subprocess.run([client, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)\.", text)
    return int(found[1]) if found else _BUILDKIT_INSIDE


def _start_daemon(folder: Path, sockets: Path) -> subprocess.Popen[bytes]:
    if folder.exists():
        shutil.rmtree(folder)  # left over from a check that was killed
    folder.mkdir(parents=True)
    addresses = ["--host", f"unix://{sockets}/docker.sock", "--pidfile", f"{sockets}/pid"]
    folders = ["--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")]
    network = ["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]
    cgroups = ["--cgroup-parent", f"/{_CGROUP}", "--exec-opt", "native.cgroupdriver=cgroupfs"]
    daemon = ["dockerd", *addresses, *folders, *network, *cgroups]
    with (folder / "dockerd.log").open("wb") as log:
        return start_guarded([*_UNSHARE, "sh", "-ec", _IN_OWN_MOUNTS, "sh", *daemon], stdout=log, stderr=log)


def _is_up(engine: Engine, process: subprocess.Popen[bytes], folder: Path) -> bool:
    if process.poll() is not None:
        log = (folder / "dockerd.log").read_text(errors="replace")
        raise EngineError("dockerd has ended:\n" + "\n".join(log.splitlines()[-5:]))
    return engine.answers()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the daemon to stop. After some time, end it and with it everything in its process namespace."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _remove_cgroups() -> None:
    """Remove the empty folders that the daemon leaves in each hierarchy."""
    for top in [*Path("/sys/fs/cgroup").glob(_CGROUP), *Path("/sys/fs/cgroup").glob(f"*/{_CGROUP}")]:
        for path in sorted((one for one in top.rglob("*") if one.is_dir()), reverse=True):
            path.rmdir()
        top.rmdir()
