"""The packed package: what it exports, in both module systems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.node_packages import without_node

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

_LOAD = """
import { createRequire } from "node:module";
import * as esm from "clipqueue";
const cjs = createRequire(import.meta.url)("clipqueue");
console.log(JSON.stringify([Object.keys(esm).sort(), Object.keys(cjs).sort()]));
"""


def test_both_module_systems_get_the_same_names(run_js: Callable[..., Any]) -> None:
    esm, cjs = run_js(_LOAD)
    assert esm == cjs
    assert "InvalidJob" in esm


def test_a_machine_without_node_is_told_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "they need Node 20 or newer with npm, which is not installed" in str(without_node.__wrapped__())
    for name, version in (("npm", ""), ("node", "v18.20.8")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho {version}\n")
        program.chmod(0o755)
    assert "they need Node 20 or newer, and this is v18.20.8" in str(without_node.__wrapped__())
