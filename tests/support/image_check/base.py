"""The base image: the one that the Dockerfile names, or a stand-in where no image registry can be reached.

The stand-in is Debian 12 with its Python 3.11, as the root of a virtual environment in /usr/local: packages and
commands are installed where they are in the official image, by the same pip. It differs in the patch level of Python
(3.11.2), in the release of Debian, and in a certificate file and a pip.conf from this machine, which pip needs to reach
its index.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.image_check.engine import NEEDED, EngineError
from tests.support.image_check.pip import settings_of_pip

if TYPE_CHECKING:
    from tests.support.image_check.engine import Engine

STAND_IN = "clipqueue-image-check-base"

_DEBIAN = ["--variant=minbase", "--include=python3-venv,ca-certificates,netbase,tzdata"]
# As in Debian's slim images.
_SLIM = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "doc", "locale", "info")]
_CERTIFICATES = "/usr/local/share/image-check-ca.crt"
_DOCKERFILE = f"""\
FROM {STAND_IN}-debian
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
COPY ca.crt {_CERTIFICATES}
COPY pip.conf /etc/pip.conf
RUN python3 -m venv --without-pip /usr/local && rm /usr/local/bin/[Aa]ctivate* && \\
    python3 -m ensurepip && python3 -m pip install --no-cache-dir pip==24.0 && \\
    rm -rf /var/lib/apt/lists/* /var/cache/* /usr/lib/python3*/__pycache__
CMD ["python3"]
"""


def find_base(engine: Engine, name: str) -> bool:
    """Return whether the engine has the image, or can pull it."""
    return engine.attempt("image", "inspect", name).returncode == 0 or engine.attempt("pull", name).returncode == 0


def load_stand_in(engine: Engine, cache: Path) -> None:
    """Load the stand-in into the engine. The first time, it is made and stored in `cache`.

    Raises:
        EngineError: A program is missing, or Debian's packages or pip's index cannot be reached.
    """
    pip_conf, certificates = _pip_conf(), _certificates()
    recipe = "\n".join([_DOCKERFILE, *_DEBIAN, *_SLIM, pip_conf, certificates])
    stored = cache / f"base-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.tar"
    if not stored.exists():
        for old in cache.glob("base-*.tar"):
            old.unlink()
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            _make(engine, Path(folder), {"Dockerfile": _DOCKERFILE, "pip.conf": pip_conf, "ca.crt": certificates})
            engine.run("save", "--output", f"{folder}/base.tar", STAND_IN)
            Path(folder, "base.tar").rename(stored)
    engine.run("load", "--input", str(stored))


def _make(engine: Engine, folder: Path, files: dict[str, str]) -> None:
    program = shutil.which("mmdebstrap")
    if program is None or os.geteuid() != 0:
        raise EngineError(
            f"the base image cannot be pulled, and making a stand-in needs mmdebstrap and root.\n{NEEDED}"
        )
    root = folder / "debian.tar"
    done = subprocess.run(
        [program, *_DEBIAN, *_SLIM, "bookworm", str(root)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise EngineError(f"mmdebstrap exited with {done.returncode}:\n{done.stderr[-2000:]}")
    engine.run("import", str(root), f"{STAND_IN}-debian")
    context = folder / "context"
    context.mkdir()
    for name, text in files.items():
        (context / name).write_text(text)
    engine.run("build", "--network", "host", "--tag", STAND_IN, str(context))


def _certificates() -> str:
    """Return the certificates that this machine trusts."""
    named = (os.environ.get(name) for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"))
    path = next(filter(None, named), None) or ssl.get_default_verify_paths().cafile
    return Path(path).read_text() if path else ""


def _pip_conf() -> str:
    lines = [f"{name} = {value}" for name, value in settings_of_pip().items()]
    return "\n".join(["[global]", *([f"cert = {_CERTIFICATES}"] if _certificates() else []), *lines, ""])
