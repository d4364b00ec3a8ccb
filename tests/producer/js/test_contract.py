"""JavaScript's contract gives the same answers as Python's: for the cases of the file, and for generated input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.contract_cases import (
    CASES,
    FILE,
    JavaScriptContract,
    expected,
    python_answer,
    question,
    shortened,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# Characters that mean something in a URL, or that the two languages could treat differently.
_CHARS = st.sampled_from(
    "aZ09-._~:/?#[]@!$&'()*+,;=%\\ \t\r\n\x00\x1f\x7f\x85\xa0éßİ\u0131\u017f\u212a\u2100\u2048\uff1a\uff0f\uff20。"
    "\u200b\u2028\u202e\ufeff\ud800\udfff😀"
)
_TEXT = st.text(_CHARS | st.characters(), max_size=30)
_PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="\\"), max_size=30)
_HOST = st.from_regex(r"[a-zA-Z0-9.-]{1,20}", fullmatch=True)
_GROUPS = st.sampled_from(["", "", "0", "1", "ffff", "12345", "g", "1.2.3.4", "01.2.3.4", "1.2.3", "256.1.1.1"])
_ADDRESS = st.builds(
    "[{}{}]".format, st.lists(_GROUPS, max_size=10).map(":".join), st.sampled_from(["", "", "%", "%1"])
)
_GOOD_URL = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["http://", "https://", "hTTps://"]),
    _HOST | st.sampled_from(["[::1]", "[1:2:3:4:5:6:7::]", "[v1.a]"]),
    st.sampled_from(["", ":", ":80", ":65535"]),
    st.builds("{}{}".format, st.sampled_from("/?#"), _PRINTABLE) | st.just(""),
)
_URL = st.builds(
    "{}{}{}{}{}{}".format,
    st.sampled_from(["http://", "https://", "ftp://", "http:", "//", "", "http:///", " http://", "s3:"]),
    st.sampled_from(["", "", "", "@", "u@", "u:p@", "a@b@", "%@"]),
    _HOST | _ADDRESS | _PRINTABLE | _TEXT,
    st.sampled_from(["", ":", ":80", ":0", ":00", ":65536", ":x", ":\uff18", ":+1", ":1_0"]),
    st.sampled_from(["", "/", "?", "#"]),
    _PRINTABLE | _TEXT,
)
_OID = st.text("0123456789abcdefABCDEF", min_size=24, max_size=24).map(lambda text: {"$oid": text})
_WRONG_JSON = [{}, {"$numberLong": "07"}, {"$uuid": "7"}, {"$oid": "7"}, {"$oid": None}, {"$oid": "", "x": 1}]
_OTHER = st.sampled_from([None, True, 7.5, 1e300, [], ["a"], *_WRONG_JSON])
_LONG = st.integers(-(2**64), 2**64).map(lambda number: {"$numberLong": str(number)})
_INTEGER = _LONG | st.integers(1 - 2**53, 2**53 - 1)
_UUID = st.uuids().map(lambda uuid: {"$uuid": str(uuid)})
_GOOD_ID = _HOST | _OID | _INTEGER | _UUID | _GOOD_URL | _PRINTABLE
_ID = _GOOD_ID | _TEXT | _URL | _OTHER
_JOB = st.fixed_dictionaries({"image_id": _GOOD_ID, "url": _GOOD_URL, "force": st.booleans()}) | st.fixed_dictionaries(
    {"image_id": _ID, "url": _URL | _TEXT, "force": st.booleans()}
)


@pytest.fixture(scope="module")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JavaScriptContract]:
    with JavaScriptContract(tmp_path_factory.mktemp("contract")) as javascript:
        yield javascript


def test_each_case_of_the_file(javascript: JavaScriptContract) -> None:
    answers = javascript.answer([question(case) for case in CASES])
    wrong = {
        case["name"]: answer
        for case, answer in zip(CASES, answers, strict=True)
        if shortened(answer, expected(case)) != expected(case)
    }
    assert wrong == {}


def test_urls_and_texts_are_shown_as_in_the_file(javascript: JavaScriptContract) -> None:
    texts = FILE["redacted_urls"], FILE["redacted_texts"]
    for name, pairs in zip(("url", "text"), texts, strict=True):
        answers = javascript.answer([{"image_id": "a", "url": text, "force": False} for text, _ in pairs])
        assert [answer["shown"][name] for answer in answers] == [shown for _, shown in pairs]


def test_generated_jobs_get_the_same_answer(javascript: JavaScriptContract) -> None:
    @settings(max_examples=30)
    @given(st.lists(_JOB, min_size=1, max_size=20))
    def compare(jobs: list[dict[str, Any]]) -> None:
        for asked, answer in zip(jobs, javascript.answer(jobs), strict=True):
            assert answer == python_answer(asked), asked

    compare()
