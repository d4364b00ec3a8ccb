"""`clipqueue doctor`: prints what is wrong with Redis, MongoDB, the workers and the queue, and what to do."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from producer.operations.doctor.checks import run_checks

if TYPE_CHECKING:
    from producer.operations.doctor.findings import Finding

_LABELS = {"ok": "ok  ", "fail": "FAIL", "unknown": "?   "}


@click.command()
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON array of {subject, outcome, well, lines}.",
)
def doctor(*, as_json: bool) -> None:
    """Check Redis, MongoDB, the workers and the queue, and print what is wrong and what to do.

    Each line begins with ok, FAIL, or ? for what this Redis or MongoDB does not tell this user. The exit code is 1 if a
    line begins with FAIL, else 0. With --json, `outcome` is ok, fail or unknown, and `well` is false for fail.
    """
    findings = run_checks()
    if as_json:
        click.echo(json.dumps([_as_json(finding) for finding in findings], indent=2))
    else:
        click.echo("\n".join(_as_text(finding) for finding in findings))
    sys.exit(1 if any(finding.outcome == "fail" for finding in findings) else 0)


def _as_text(finding: Finding) -> str:
    return f"{_LABELS[finding.outcome]}  {finding.subject}: " + "\n        ".join(finding.lines)


def _as_json(finding: Finding) -> dict[str, Any]:
    return {
        "subject": finding.subject,
        "outcome": finding.outcome,
        "well": finding.outcome != "fail",
        "lines": list(finding.lines),
    }
