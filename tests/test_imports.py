"""The arrows between the rooms: imports go down the pipeline and never back (see `tool.importlinter`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def lint_imports(config: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter in a process, because it reconfigures logging."""
    call = (
        f"import sys, importlinter.cli as c; sys.exit(c.lint_imports(config_filename={str(config)!r}, no_cache=True))"
    )
    return subprocess.run([sys.executable, "-c", call], cwd=ROOT, capture_output=True, text=True, check=False)


def test_no_import_goes_up_the_pipeline() -> None:
    done = lint_imports(ROOT / "pyproject.toml")
    assert done.returncode == 0, done.stdout


def test_an_import_that_goes_up_is_found(tmp_path: Path) -> None:
    """Without its exception, the import of the worker by `clipqueue model` breaks a contract."""
    text = (ROOT / "pyproject.toml").read_text()
    exception = '"producer.cli.model -> worker.**",'
    assert exception in text
    config = tmp_path / "pyproject.toml"
    config.write_text(text.replace(exception, ""))
    done = lint_imports(config)
    assert done.returncode == 1
    assert "producer.cli.model" in done.stdout
