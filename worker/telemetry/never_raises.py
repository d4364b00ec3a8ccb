"""Keeps an error of telemetry away from the work that it is about."""

from __future__ import annotations

import logging
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)


def never_raises(function: Callable[P, T]) -> Callable[P, T | None]:
    """Return the function without its errors: it returns None then. The log has the first one of each function.

    A job must not fail, and a model thread must not end, because something cannot be counted.
    """
    is_known = False

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T | None:
        nonlocal is_known
        try:
            return function(*args, **kwargs)
        except Exception:  # as above
            if not is_known:
                is_known = True
                logger.exception(
                    "%s failed; no job is affected, but metrics, spans or log lines are missing", function.__name__
                )
            return None

    return call
