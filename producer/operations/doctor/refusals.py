"""Turns what Redis refuses to tell into findings, so that one refused command spoils only its own check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.exceptions import ResponseError

from producer.contract.redis_errors import is_failover
from producer.contract.redis_reasons import reason_of
from producer.operations.doctor.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable


def unless_refused(subject: str, check: Callable[[], list[Finding]], advice: str) -> list[Finding]:
    """Return the findings of a check, or one that says what Redis answered instead.

    Args:
        subject: What is checked.
        check: Asks Redis, and returns the findings.
        advice: How to find out if this user may not ask.

    Raises:
        RedisError: Redis does not answer, or serves nobody now.
    """
    try:
        return check()
    except ResponseError as exc:
        return [refused(subject, exc, advice)]


def refused(subject: str, exc: ResponseError, advice: str) -> Finding:
    """Return the finding for a refused command. Raises the error if Redis would refuse every other command too."""
    if is_failover(exc) or str(exc).startswith("BUSY"):
        raise exc
    reason = reason_of(exc)
    if "WRONGTYPE" in str(exc):
        todo = "Another program writes to this key: give it another database of Redis."
        return Finding.problem(subject, f"cannot be checked: {reason}", todo)
    return Finding.unknown(subject, f"this Redis does not tell: {reason}", advice)
