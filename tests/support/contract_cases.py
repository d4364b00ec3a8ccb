"""Reads tests/contract/cases.json, and answers a case by Python's contract or by JavaScript's, in a process of Node."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from producer.contract.errors import InvalidJob
from producer.contract.ids import parse_image_id
from producer.contract.job import ImageJob
from producer.contract.message import message_bytes
from producer.contract.trace import checked_trace
from producer.contract.urls import redact_text, redact_url
from tests.support.js_package import bundle_source

if TYPE_CHECKING:
    from types import TracebackType

FILE = json.loads((Path(__file__).parents[1] / "contract" / "cases.json").read_text())
CASES: list[dict[str, Any]] = FILE["cases"]
PYTHON_CASES: list[dict[str, Any]] = [*CASES, *FILE["python_cases"]]
FIXED: dict[str, Any] = FILE["fixed"]
_ANSWER = Path(__file__).parent / "answer_cases.mjs"


def question(case: dict[str, Any]) -> dict[str, Any]:
    """Return the id, the URL and the trace of a case, and whether it is forced."""
    given = {**FILE["defaults"], "force": False, "trace": {}, **case}
    asked = {name: _expanded(given[name]) for name in ("image_id", "url", "force")}
    return {**asked, "trace": {name: _expanded(value) for name, value in given["trace"].items()}}


def expected(case: dict[str, Any]) -> dict[str, Any]:
    """Return what both languages must answer to a case: an error, or the message or its SHA-256."""
    if "error" in case or "sha256" in case:
        return {name: case[name] for name in ("error", "sha256") if name in case}
    body = base64.b64encode(case["body"].encode()).decode()
    message = FILE["envelope"].replace("@body@", body).replace("@kwargsrepr@", json.dumps(case["kwargsrepr"]))
    return {"message": message.replace('"stamps":{}', '"stamps":{}' + case.get("trace_json", ""))}


def shortened(answer: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the part of an answer that a case speaks of."""
    if "sha256" in wanted and "message" in answer:
        return {"sha256": hashlib.sha256(answer["message"].encode()).hexdigest()}
    return {name: answer[name] for name in ("error", "message") if name in answer}


def python_answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the message or the error of a job, and how its URL is shown."""
    url = asked["url"]
    shown = {"url": redact_url(url), "text": redact_text(url)}
    try:
        job = ImageJob(parse_image_id(asked["image_id"]), url, FIXED["enqueued_at"], asked["force"])
        trace = checked_trace(asked.get("trace", {}))
    except InvalidJob as exc:
        return {"error": str(exc), "shown": shown}
    message = message_bytes(job.to_kwargs(), FIXED["task_id"], FIXED["delivery_tag"], FIXED["origin"], trace)
    return {"message": message.decode("ascii"), "shown": shown}


class JavaScriptContract:
    """Answers by the JavaScript package, in one process of Node.

    Args:
        folder: A folder for the program.
    """

    def __init__(self, folder: Path) -> None:
        program = bundle_source(_ANSWER, folder)
        command = ["node", str(program), json.dumps(FIXED)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def answer(self, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return what `python_answer` should return for each of these."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answers: list[dict[str, Any]] = json.loads(self._process.stdout.readline())
        return answers

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._process.communicate()


def _expanded(value: Any) -> Any:
    if isinstance(value, dict) and "repeat" in value:
        return "".join(text * count for text, count in value["repeat"])
    return value
