"""The cases of tests/contract/cases.json, which the JavaScript package passes too (tests/producer/js)."""

from __future__ import annotations

from typing import Any

import pytest

from producer.contract.urls import redact_text, redact_url
from tests.support.contract_cases import FILE, PYTHON_CASES, expected, python_answer, question, shortened


@pytest.mark.parametrize("case", PYTHON_CASES, ids=lambda case: case["name"])
def test_a_job_is_refused_with_this_message_or_has_these_bytes(case: dict[str, Any]) -> None:
    wanted = expected(case)
    assert shortened(python_answer(question(case)), wanted) == wanted


def test_urls_and_texts_are_shown_without_queries() -> None:
    assert [[url, redact_url(url)] for url, _ in FILE["redacted_urls"]] == FILE["redacted_urls"]
    assert [[text, redact_text(text)] for text, _ in FILE["redacted_texts"]] == FILE["redacted_texts"]
    assert all("secret" not in shown for _, shown in FILE["redacted_urls"] + FILE["redacted_texts"])
