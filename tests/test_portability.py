"""The commands on Windows and macOS, and on versions of Python that do not run here, as far as Linux can tell.

mypy knows what the standard library lacks on a platform. `tests.support.as_on_windows` takes it away at run time.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.commands import complete

if TYPE_CHECKING:
    import redis

    from producer.local.stack import Stack

ROOT = Path(__file__).parents[1]
MISSING = re.compile(r"^(\S+\.py):\d+: error: Module has no attribute .*\[attr-defined\]$", re.MULTILINE)
EMBEDDED_STACK = {"producer/local/claims.py", "producer/local/guardian.py", "producer/local/stack.py"}


def files_with_missing_attributes(platform: str, packages: tuple[str, ...]) -> set[str]:
    """Return the files of packages that use what the standard library lacks on a platform.

    Without the libraries' types, which takes six seconds rather than forty, mypy reports much else, which is ignored.
    """
    options = ["--config-file=", f"--platform={platform}", "--follow-imports=skip", "--ignore-missing-imports"]
    command = [sys.executable, "-m", "mypy", *options, f"--cache-dir=.mypy_cache/{platform}"]
    command += [part for package in packages for part in ("-p", package)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "checked" in done.stdout, done.stdout[-2000:] + done.stderr
    return {*MISSING.findall(done.stdout)}


def test_only_the_embedded_stack_uses_what_windows_lacks() -> None:
    """The worker does not run there, and says so."""
    assert files_with_missing_attributes("win32", ("producer",)) == EMBEDDED_STACK


def test_nothing_uses_what_macos_lacks() -> None:
    assert files_with_missing_attributes("darwin", ("producer", "worker")) == set()


def as_on_windows(env: dict[str, str], *commands: list[str]) -> dict[str, Any]:
    """Run commands in a process without what Windows lacks."""
    command = [sys.executable, "-m", "tests.support.as_on_windows", json.dumps(commands)]
    done = complete(command, {**os.environ, **env})
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_all_commands_but_up_and_demo_run_without_what_windows_lacks(
    stack: Stack, queue: redis.Redis, redis_url: str, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("id,url\nwin-2,https://example.com/2.jpg\n", encoding="utf-8")
    commands = [
        ["enqueue", "https://example.com/1.jpg", "--id", "win-1", "--record"],
        ["enqueue", "--from", str(rows)],
        ["status", "win-1"],
        ["top"],
        ["stats"],
        ["doctor"],
        ["sweep"],
        ["failed"],
        ["retry"],
        ["backfill", "--url-field", "url", "--dry-run"],
        ["parked", "list"],
        ["duplicates"],
        ["model", "--help"],
        ["serve"],  # without keys it refuses to listen on all addresses
        ["notify"],  # without a receiver it refuses to start
        ["purge", "--yes"],
        ["up"],
        ["demo"],
    ]
    env = {"REDIS_URL": redis_url, "MONGODB_URI": stack.mongodb_uri + "-windows", "CLIPQUEUE_API_HOST": "0.0.0.0"}
    seen = as_on_windows(env, *commands)
    assert seen["failed"].keys() == {"producer.local.claims", "producer.local.demo", "producer.local.stack"}
    assert all("fcntl" in reason for reason in seen["failed"].values())
    runs = {run[0]: (exit_code, output) for run, (exit_code, output, _) in zip(commands, seen["runs"], strict=True)}
    for command, (exit_code, output, exception) in zip(commands, seen["runs"], strict=True):
        assert exception in ("None", f"SystemExit({exit_code})"), (command, output, exception)
    assert runs["enqueue"][0] == 0
    assert "win-1" in runs["status"][1]
    assert "waiting     2" in runs["stats"][1]
    assert "deleted 2 waiting messages" in runs["purge"][1]
    assert "CLIPQUEUE_API_KEYS" in runs["serve"][1]
    assert "CLIPQUEUE_WEBHOOK_URL" in runs["notify"][1]
    for name in ("up", "demo"):
        assert runs[name][1].startswith(f"clipqueue: clipqueue {name} does not run on Windows")
    assert queue.llen("images") == 0


def test_ids_of_any_language_are_printed_into_a_pipe_of_a_windows_code_page(
    stack: Stack, queue: redis.Redis, redis_url: str
) -> None:
    """The id is what `--from` reads again. In the code page, the second of two batches would not be enqueued."""
    command = [sys.executable, "-m", "producer", "enqueue", "https://example.com/1.jpg", "--id", "写真-😀"]
    done = complete(command, {**os.environ, "REDIS_URL": redis_url, "PYTHONIOENCODING": "cp1252"})
    assert (done.returncode, done.stdout) == (0, "写真-😀\n"), done.stderr
    assert queue.llen("images") == 1
