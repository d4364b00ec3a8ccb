"""The README and the pages in docs/ agree with the code, and their links lead somewhere."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from tests.bench.results import PAGE as SPEED_PAGE
from tests.bench.results import render
from worker import errors

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)|(?:src|srcset)=\"([^\"]+)\"")
CODE_ROW = re.compile(r"^\| `([a-z_]+(?:<status>)?)` \| `(\w+)` \| (yes|no) \|", re.MULTILINE)


def test_the_readme_fits_in_120_lines() -> None:
    assert len(README.read_text().splitlines()) <= 120


def test_the_contract_lists_every_error_code_with_its_stage_and_whether_it_is_retried() -> None:
    documented = CODE_ROW.findall((ROOT / "docs" / "contract.md").read_text())
    concrete = [
        error
        for _, error in inspect.getmembers(errors, inspect.isclass)
        if issubclass(error, errors.JobError) and not error.__subclasses__()
    ]
    expected = [
        (
            vars(error).get("code", "http_<status>"),
            error.stage,
            "yes" if issubclass(error, errors.TransientError) else "no",
        )
        for error in concrete
    ]
    assert sorted(documented) == sorted(expected)


def test_every_error_is_in_the_docstring_of_its_module_with_its_code() -> None:
    tree = errors.__doc__ or ""
    for name, error in inspect.getmembers(errors, inspect.isclass):
        assert name in tree
        code = vars(error).get("code")
        assert code is None or re.search(rf"{name} +{code}\b", tree), name


def test_the_speed_page_shows_the_last_results_of_the_benchmarks() -> None:
    assert render() in SPEED_PAGE.read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    links = [target or source for target, source in LINK.findall(page.read_text())]
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_of_the_code_that_a_page_names_exists(page: Path) -> None:
    paths = re.findall(r"`((?:worker|producer|tests)/[\w/.-]+)`", page.read_text())
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing
