"""The packed package: what it exports, in both module systems, its types, its size and what it does not contain."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.node_packages import without_node

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
_LOAD = """
import { createRequire } from "node:module";
import * as esm from "clipqueue";
const cjs = createRequire(import.meta.url)("clipqueue");
console.log(JSON.stringify([Object.keys(esm).sort(), Object.keys(cjs).sort()]));
"""
# What the page takes for granted, and its route handler.
RECEIVER = """
import type { WireId } from "clipqueue";
declare function show(id: WireId): Promise<void>;
declare function report(id: WireId, code: string): Promise<void>;
""" + "".join(re.findall(r"```ts\n(.*?)```", (ROOT / "docs" / "webhooks.md").read_text(), re.DOTALL))
_STRICT = {
    "strict": True,
    "exactOptionalPropertyTypes": True,
    "noUncheckedIndexedAccess": True,
    "skipLibCheck": True,  # the clients' own types, which are not ours to check
    "noEmit": True,
    "target": "ES2022",
    "types": ["node"],
}


def call(js_app: Path, *command: str, cwd: Path | None = None) -> str:
    """Run a program of the app's `node_modules`, and return what it prints."""
    program = str(js_app / "node_modules" / ".bin" / command[0])
    done = subprocess.run(
        [program, *command[1:]], cwd=cwd or js_app, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def package(js_app: Path) -> Path:
    return js_app / "node_modules" / "clipqueue"


def test_both_module_systems_get_the_same_names(run_js: Callable[..., Any]) -> None:
    esm, cjs = run_js(_LOAD)
    assert esm == cjs
    assert {"EmbeddingClient", "InvalidJob"} <= set(esm)


@pytest.mark.parametrize("module", ["NodeNext", "ESNext"])
def test_types_are_strict(js_app: Path, tmp_path: Path, module: str) -> None:
    """With Node's resolution and a bundler's. The route handler of docs/webhooks.md is compiled too."""
    resolution = {"module": module, "moduleResolution": "NodeNext" if module == "NodeNext" else "Bundler"}
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": _STRICT | resolution, "include": ["*.ts"]}))
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "webhook.ts").write_text(RECEIVER)
    (tmp_path / "types.ts").write_text((Path(__file__).parent / "types.ts").read_text())
    (tmp_path / "node_modules").symlink_to(js_app / "node_modules")
    call(js_app, "tsc", "-p", str(tmp_path))


def test_publint_and_attw_find_nothing(js_app: Path, package: Path) -> None:
    """The ignored rule is about `clipqueue/workers`: Cloudflare Workers know ES modules only."""
    call(js_app, "publint", "--strict", str(package))
    (archive,) = js_app.glob("clipqueue-*.tgz")
    call(js_app, "attw", str(archive), "--profile", "node16", "--ignore-rules", "cjs-resolves-to-esm")


def test_the_package_has_no_dependency_and_its_licence(package: Path) -> None:
    declared = json.loads((package / "package.json").read_text())
    assert not {"dependencies", "peerDependencies", "optionalDependencies"} & declared.keys()
    assert (package / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    files = {path.relative_to(package).parts[0] for path in package.rglob("*") if path.is_file()}
    assert files == {"LICENSE", "README.md", "dist", "package.json"}


def test_the_code_needs_nothing_of_node(package: Path) -> None:
    """Only `clipqueue/workers` imports a module of a platform."""
    for path in (package / "dist").rglob("*.js"):
        code = re.sub(r"/\*[\s\S]*?\*/|//.*", "", path.read_text())
        imported = set(re.findall(r"""(?:from|require\(|import\(|import)\s*["']([^."'][^"']*)["']""", code))
        assert imported == ({"cloudflare:sockets"} if path.parts[-3:] == ("esm", "workers", "index.js") else set()), (
            path
        )
        assert not re.search(r"\bBuffer\b|\bnode:|\b__dirname\b", code), path


def test_a_machine_without_node_is_told_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "they need Node 20 or newer with npm, which is not installed" in str(without_node.__wrapped__())
    for name, version in (("npm", ""), ("node", "v18.20.8")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho {version}\n")
        program.chmod(0o755)
    assert "they need Node 20 or newer, and this is v18.20.8" in str(without_node.__wrapped__())
