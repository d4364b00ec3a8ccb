"""The type of options that are numbers of seconds, or a rate."""

from __future__ import annotations

import math
from typing import Any

import click

# No clock, and no wait, can be told more seconds. It is 31 years.
_MAX = 1e9


class Number(click.FloatRange):
    """A number in a range. Infinity, NaN and numbers beyond 1e9 are refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number) or number > _MAX:
            raise click.BadParameter(f"{value} is no number up to {_MAX:.0e}.", ctx=ctx, param=param)
        return number
