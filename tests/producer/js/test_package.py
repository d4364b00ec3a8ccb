"""The packed package: what it exports, in both module systems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

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
