"""Calls pip of this environment: its settings, and downloads for the image."""

from __future__ import annotations

import ast
import subprocess
import sys

# How to reach an index. Settings that name files of this machine mean nothing in an image.
_CONNECTION = {"index-url", "extra-index-url", "proxy", "trusted-host", "timeout", "retries"}


def settings_of_pip() -> dict[str, str]:
    """Return how pip reaches its index here, by files and by variables of the shell."""
    found: dict[str, str] = {}
    for line in run_pip("config", "list").splitlines():
        key, _, value = line.partition("=")
        scope, _, name = key.partition(".")
        text = str(ast.literal_eval(value))
        if name in _CONNECTION and scope in {"global", "install", ":env:"} and "file:" not in text:
            found[name] = " ".join(text.split())
    return found


def links_of_pip() -> list[str]:
    """Return the folders in which pip looks for wheels here (PIP_FIND_LINKS, find-links)."""
    values = [line.partition("=") for line in run_pip("config", "list").splitlines()]
    return [link for key, _, value in values if key.endswith(".find-links") for link in ast.literal_eval(value).split()]


def run_pip(*arguments: str) -> str:
    """Return the output of `pip ARGUMENTS`.

    Raises:
        RuntimeError: It failed; the message has its errors.
    """
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"pip {arguments[0]} exited with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout
