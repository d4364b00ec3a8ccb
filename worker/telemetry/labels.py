"""The values that the labels of metrics may have: closed lists, whatever servers and files answer."""

from __future__ import annotations

import re
from http import HTTPStatus

from worker import errors

_OTHER_STATUS = "http_other"
_OTHER = "other"


def _subclasses(base: type) -> set[type]:
    return {base}.union(*map(_subclasses, base.__subclasses__()))


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


_CODES = {vars(error)["code"] for error in _subclasses(errors.JobError) if "code" in vars(error)} | {
    f"http_{status.value}" for status in HTTPStatus
}
# Why a job was requeued, by the error's class.
REASONS = {error: _snake_case(error.__name__) for error in _subclasses(errors.Requeue) - {errors.Requeue}}


def code_of(error: errors.JobError) -> str:
    """Return an error's code. All HTTP statuses that no standard knows have one code."""
    if error.code in _CODES:
        return error.code
    return _OTHER_STATUS if error.code.startswith("http_") else _OTHER


def reason_of(error: errors.Requeue) -> str:
    """Return why a job was requeued, such as `host_busy`."""
    return REASONS.get(type(error), _OTHER)
