"""What the README says of settings and errors is what the code has."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from tests.bench.results import shown
from worker import errors
from worker.settings import Settings

README = (Path(__file__).parents[1] / "README.md").read_text()
ROW = re.compile(r"^\| `([A-Z_]+)`[^|]*\| (?:`([^`]*)`)? ?\|", re.MULTILINE)


def test_the_table_of_settings_is_complete_and_has_the_defaults() -> None:
    documented = dict(ROW.findall(README))
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        variable = str(getattr(alias, "choices", [alias])[0]) if alias else f"CLIPQUEUE_{name.upper()}"
        default = documented.pop(variable)
        assert default == (
            ""
            if field.default == ()
            else f"{field.default:g}"
            if isinstance(field.default, float)
            else str(field.default)
        ), variable
    assert documented == {}, "documented, but no setting"


def test_every_error_stands_in_the_tree_with_its_code() -> None:
    tree = errors.__doc__ or ""
    for name, error in inspect.getmembers(errors, inspect.isclass):
        assert name in tree
        code = vars(error).get("code")
        assert code is None or re.search(rf"{name} +{code}\b", tree), name


def test_the_figures_are_those_of_the_last_run_of_the_benchmarks() -> None:
    assert shown() in README
