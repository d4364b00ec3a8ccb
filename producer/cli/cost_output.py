"""How `clipqueue stats --cost` shows what a thousand images take, with prices or without."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from producer.operations.cost import IMAGES, Cost
from producer.operations.text import duration, size_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_NAMES = tuple(Cost(0, 0, is_recent=False).amounts())
_MONTHLY = "storage-gb-month"
_UNKNOWN = "unknown"
_MAX_PRICE = 1e6
_HOUR_S = 3600


class Price(click.ParamType[tuple[str, float]]):
    """NAME=PRICE, such as cpu-hour=0.03."""

    name = "NAME=PRICE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """Read the name and the price."""
        name, _, text = str(value).partition("=")
        try:
            price = float(text)
        except ValueError:
            price = math.nan
        if name not in _NAMES or not 0 <= price <= _MAX_PRICE:
            problem = f"{value!r} is no price: give one of {', '.join(_NAMES)}, and a number, as cpu-hour=0.03"
            raise click.BadParameter(problem, ctx=ctx, param=param)
        return name, price


def cost_as_json(cost: Cost, prices: Mapping[str, float]) -> dict[str, Any]:
    """Return all figures for a program. docs/cost.md lists the keys."""
    return {"images": IMAGES, **asdict(cost), "prices": {name: _priced(cost, name, prices) for name in prices}}


def cost_as_text(cost: Cost, prices: Mapping[str, float]) -> str:
    """Return a line for each amount, and what they cost."""
    return "\n".join((*_heading(cost), *_lines(cost, prices), *_totals(cost, prices), *_notes(cost)))


def _heading(cost: Cost) -> Iterator[str]:
    since = f"in the last {duration(cost.span_s)}" if cost.is_recent else "on average since the workers started"
    if cost.images_per_s:
        yield f"{IMAGES:,} images, at {cost.images_per_s:.1f} images/s {since}"
    else:
        yield f"{IMAGES:,} images: unknown, because no worker has embedded one {since.removeprefix('on average ')}"


def _lines(cost: Cost, prices: Mapping[str, float]) -> Iterator[str]:
    commands = None if cost.redis_commands is None else f"{cost.redis_commands:,.0f}, those inside scripts included"
    rows: Sequence[tuple[str, str | None, str]] = (
        ("processors", None if cost.cpu_hours is None else f"{cost.cpu_hours * _HOUR_S:,.1f} s", "cpu-hour"),
        ("memory", None if cost.memory_gb_hours is None else f"{cost.memory_gb_hours:.3f} GB h", "memory-gb-hour"),
        ("images", _size(cost.fetched_bytes), ""),
        ("commands", commands, "redis-100k-commands"),
        ("Redis", _size(cost.redis_bytes), ""),
        ("MongoDB", _size(cost.mongo_bytes), ""),
        ("network", _network(cost), "network-gb"),
        ("stored", _size(cost.stored_bytes), _MONTHLY),
    )
    for label, amount, name in rows:
        priced = _priced(cost, name, prices)
        shown = "" if priced is None else f"{_money(priced)}{' a month' if name == _MONTHLY else ''}"
        yield f"{label:<12}{amount or _UNKNOWN:<42}{shown}".rstrip()


def _totals(cost: Cost, prices: Mapping[str, float]) -> Iterator[str]:
    once = [_priced(cost, name, prices) for name in prices if name != _MONTHLY]
    known = [price for price in once if price is not None]
    if known:
        known_only = "" if len(known) == len(once) else ", as far as known"
        yield f"{'together':<12}{'at these prices' + known_only:<42}{_money(sum(known))}"


def _notes(cost: Cost) -> Iterator[str]:
    yield ""
    if cost.is_recent:
        yield "Redis and MongoDB count all their clients. On servers that others use too, they say too much."
    else:
        yield "What Redis and MongoDB do is measured while images are embedded, for at least 20 seconds."


def _priced(cost: Cost, name: str, prices: Mapping[str, float]) -> float | None:
    amount = cost.amounts().get(name)
    return None if amount is None or name not in prices else amount * prices[name]


def _network(cost: Cost) -> str | None:
    size = _size(_bytes(cost.amounts()["network-gb"]))
    return f"{size}, of Redis alone" if size and cost.mongo_bytes is None else size


def _bytes(gigabytes: float | None) -> float | None:
    return None if gigabytes is None else gigabytes * 1e9


def _size(count: float | None) -> str | None:
    return None if count is None else size_of(round(count))


def _money(amount: float) -> str:
    return f"{amount:.6f}" if amount else "0"
