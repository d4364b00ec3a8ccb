"""Processes that answer each line of input with a line of JSON: the side that asks, and the side that answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from tests.support.commands import TIED

if TYPE_CHECKING:
    from collections.abc import Mapping


class Lines:
    """A process that answers each line of input with a JSON object. Its first line says that it is ready."""

    def __init__(self, module: str, env: Mapping[str, str], *arguments: str) -> None:
        self._process = subprocess.Popen(
            [*TIED, sys.executable, "-m", module, *arguments],
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.first = self._read()

    def ask(self, line: object) -> dict[str, Any]:
        """Return the answer to one line."""
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):
                pipe and pipe.close()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def answer(**fields: object) -> None:
    """Answer one line of input, or report that this process is ready."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()
