"""The arrows between the rooms: imports go down the pipeline and never back (see `tool.importlinter`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import importlinter.cli

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[1]
untyped: Any = importlinter.cli


def test_no_import_goes_up_the_pipeline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    assert untyped.lint_imports(no_cache=True) == 0, capsys.readouterr().out


def test_an_import_that_goes_up_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The contracts would notice: without its exception, the demo's import of the worker breaks one."""
    text = (ROOT / "pyproject.toml").read_text()
    exception = '"producer.local.demo -> worker.**",'
    assert exception in text
    config = tmp_path / "pyproject.toml"
    config.write_text(text.replace(exception, ""))
    monkeypatch.chdir(ROOT)
    assert untyped.lint_imports(config_filename=str(config), no_cache=True) == 1
