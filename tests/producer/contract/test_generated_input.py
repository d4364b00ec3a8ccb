"""Properties of the contract's functions that hold for every input, tested with generated input."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from producer.contract.errors import InvalidJob
from producer.contract.job import JOB_KEYS, ImageJob
from producer.contract.urls import check_url, redact_text, redact_url
from tests.support.generated import JSON


@given(st.text() | st.from_regex(r"https?://[^/]{0,20}(/.{0,20})?(\?.{0,20})?", fullmatch=True))
def test_a_url_is_refused_or_can_be_shown_without_its_query(url: str) -> None:
    try:
        check_url(url)
    except InvalidJob:
        return
    assert "?" not in redact_url(url)
    assert "@" not in redact_url(url).partition("://")[2].partition("/")[0]


@given(st.text(), st.text(alphabet=st.characters(exclude_categories=["Z", "C"]), min_size=1), st.text())
def test_a_redacted_text_contains_no_query(before: str, secret: str, after: str) -> None:
    marked = f"SECRET{secret}"
    assert marked not in redact_text(f"{before} https://host/path?{marked} {after.replace('SECRET', '')}")


@given(st.dictionaries(st.sampled_from(JOB_KEYS), JSON))
def test_keyword_arguments_are_refused_or_make_the_same_job_again(kwargs: dict[str, Any]) -> None:
    try:
        job = ImageJob.from_kwargs(kwargs)
    except InvalidJob:
        return
    assert ImageJob.from_kwargs(job.to_kwargs()) == job
