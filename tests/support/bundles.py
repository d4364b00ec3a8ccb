"""Bundles a JavaScript program into one file, as the build of a platform does, with esbuild."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.support.node_packages import node_modules

if TYPE_CHECKING:
    from pathlib import Path

_BUNDLE_S = 60
# Packages for Node that the bundle contains call `require`, which workerd has only in this form.
_REQUIRE = 'import { createRequire } from "node:module"; const require = createRequire("/");'
WORKER = ("--format=esm", "--platform=node", "--external:cloudflare:*", f"--banner:js={_REQUIRE}")
# A bundle for the edge has no module of Node: what needs one fails when it is loaded.
EDGE = ("--format=iife", "--platform=node", "--conditions=edge-light", "--external:cloudflare:*")


def bundle(entry: Path, output: Path, options: tuple[str, ...]) -> Path:
    """Write the program that begins in `entry` and all that it imports into `output`, and return that."""
    command = [str(node_modules() / ".bin" / "esbuild"), str(entry), "--bundle", f"--outfile={output}", *options]
    done = subprocess.run(
        [*command, "--log-level=error"], capture_output=True, text=True, timeout=_BUNDLE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return output
