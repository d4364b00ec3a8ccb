"""`clipqueue doctor`: prints what is wrong with Redis, MongoDB, the workers and the queue, and what to do."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from producer.operations.doctor.checks import run_checks

if TYPE_CHECKING:
    from producer.operations.doctor.findings import Finding


@click.command()
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON array of {subject, well, lines}.",
)
def doctor(*, as_json: bool) -> None:
    """Check Redis, MongoDB, the workers and the queue, and print what is wrong and what to do.

    The exit code is 0 if there is no problem, else 1. With --json, `well` is true for a finding without a problem.
    """
    findings = run_checks()
    if as_json:
        click.echo(json.dumps([_as_json(finding) for finding in findings], indent=2))
    else:
        click.echo("\n".join(_as_text(finding) for finding in findings))
    sys.exit(0 if all(finding.is_ok for finding in findings) else 1)


def _as_text(finding: Finding) -> str:
    return f"{'ok  ' if finding.is_ok else 'FAIL'}  {finding.subject}: " + "\n        ".join(finding.lines)


def _as_json(finding: Finding) -> dict[str, Any]:
    return {"subject": finding.subject, "well": finding.is_ok, "lines": list(finding.lines)}
