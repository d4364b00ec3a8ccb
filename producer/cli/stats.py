"""`clipqueue stats`: shows the queue, the workers and how quickly they work, once or again and again."""

from __future__ import annotations

import json
import signal
import sys
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import click

from producer.cli.collection import collection_option
from producer.cli.cost import show_cost
from producer.cli.cost_output import Price
from producer.cli.numbers import Number
from producer.cli.output import CANNOT_TELL, fail
from producer.cli.stats_output import as_block, as_json, as_line
from producer.client.broker import Broker
from producer.client.environment import redis_url_from_env
from producer.client.stop import Stop, Stopped
from producer.contract.errors import BrokerUnavailable, ClipqueueError
from producer.operations.stats.rates import History
from producer.operations.stats.reading import QueueReader

if TYPE_CHECKING:
    from producer.operations.stats.rates import Rates
    from producer.operations.stats.reading import Reading

# Workers write their figures every ten seconds.
_EVERY_S = 10.0
_COST_S = 30.0


@click.command()
@click.option("--json", "is_json", is_flag=True, help="Print each reading as one JSON object on one line.")
@click.option(
    "--watch",
    "every_s",
    type=Number(min=1),
    is_flag=False,
    flag_value=_EVERY_S,
    metavar="[SECONDS]",
    help="Read again after each pause, of 10 seconds unless you give another, until Ctrl-C or SIGTERM.",
)
@click.option(
    "--cost",
    "cost_s",
    type=Number(min=1),
    is_flag=False,
    flag_value=_COST_S,
    metavar="[SECONDS]",
    help="Measure for 30 seconds, or as long as you say, and show what 1,000 images take: processors, memory, commands "
    "and bytes.",
)
@click.option(
    "--price",
    "prices",
    type=Price(),
    multiple=True,
    help="With --cost: a price, such as cpu-hour=0.03. Others are memory-gb-hour, redis-100k-commands, network-gb and "
    "storage-gb-month.",
)
@collection_option
def stats(
    *,
    is_json: bool,
    every_s: float | None,
    cost_s: float | None,
    prices: tuple[tuple[str, float], ...],
    collection: str,
) -> None:
    """Show the jobs, the workers, their rates, latency, stage times, batches and errors.

    One reading shows what the workers did on average since they started. With --watch it is what they did between
    their last two heartbeats, ten seconds apart; in a pipe, each reading is one line.

    The exit code is 0 if no job waits, is in flight or is delayed, 1 if there are any, and 3 if Redis does not answer.
    With --watch it is 0, and 3 if Redis does not answer at the start. With --cost it is 0, and 3 if Redis or MongoDB
    does not answer.
    """
    if cost_s is not None and every_s is not None:
        fail("--cost measures once: leave out --watch", 2)
    if prices and cost_s is None:
        fail("--price needs --cost", 2)
    if cost_s is not None:
        _show_cost(cost_s, collection, dict(prices), is_json=is_json)
        return
    stop = Stop()
    if every_s is not None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop.on_signal)
    try:
        with closing(Broker(redis_url_from_env())) as broker:
            view = _View(QueueReader(broker), is_json=is_json, is_watching=every_s is not None)
            reading = view.show()
            if every_s is not None:
                _watch(view, stop, every_s)
    except ClipqueueError as exc:
        fail(str(exc), CANNOT_TELL)
    sys.exit(1 if reading.jobs and every_s is None else 0)


def _show_cost(seconds: float, collection: str, prices: dict[str, float], *, is_json: bool) -> None:
    try:
        show_cost(collection, prices, lambda: time.sleep(seconds), is_json=is_json)
    except ClipqueueError as exc:
        fail(str(exc), CANNOT_TELL)


class _View:
    """Prints readings."""

    def __init__(self, reader: QueueReader, *, is_json: bool, is_watching: bool) -> None:
        self._reader = reader
        self._is_json = is_json
        self._is_watching = is_watching
        self._history = History()

    def show(self) -> Reading:
        """Read once, and print what that shows. Raises BrokerUnavailable."""
        reading = self._reader.read()
        click.echo(self._text(reading, self._history.add(reading)))
        return reading

    def _text(self, reading: Reading, rates: Rates) -> str:
        if self._is_json:
            return json.dumps(as_json(reading, rates, self._history.growth))
        if self._is_watching and not sys.stdout.isatty():
            return as_line(reading, rates)
        return as_block(reading, rates, self._history.growth) + ("\n" if self._is_watching else "")


def _watch(view: _View, stop: Stop, every_s: float) -> None:
    is_away = False
    with suppress(Stopped):
        while not stop.is_requested:
            stop.sleep(every_s)
            try:
                view.show()
                is_away = False
            except BrokerUnavailable as exc:
                if not is_away:
                    click.echo(f"{exc}; waiting until it answers", err=True)
                is_away = True
