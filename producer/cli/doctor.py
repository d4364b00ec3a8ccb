"""`clipqueue doctor`: looks at everything the queue stands on, and says what is wrong with it and what to do.

What is looked at stands in `producer.operations.doctor`. A server that is away is a finding; the others are
still looked at.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from producer.client.broker import Broker
from producer.client.environment import collection_name, mongodb_uri, redis_url_from_env
from producer.contract.errors import ClipqueueError
from producer.operations.doctor.clocks import Clock, clock_finding, read_clock
from producer.operations.doctor.findings import Finding
from producer.operations.doctor.queue import parked_finding, queue_findings, read_queue
from producer.operations.doctor.redis import server_findings
from producer.operations.doctor.workers import worker_findings
from producer.operations.workers import read_workers

if TYPE_CHECKING:
    from redis import Redis

Found = tuple[list[Finding], list[Clock]]
Place = tuple[str, str]  # database and collection


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array of {subject, well, lines}.")
def doctor(*, as_json: bool) -> None:
    """Look at Redis, MongoDB, the workers and the queue, and say what is wrong and what to do.

    The exit code is 0 if all is well, else 1.
    """
    findings = examine()
    if as_json:
        click.echo(json.dumps([finding.as_json() for finding in findings], indent=2))
    else:
        click.echo("\n".join(finding.as_text() for finding in findings))
    sys.exit(0 if all(finding.is_well for finding in findings) else 1)


def examine() -> list[Finding]:
    """Return what is found with the settings of this environment."""
    in_mongodb, mongodb_clocks, here = _look_at_mongodb()
    on_redis, redis_clocks = _look_at_redis(here)
    return [*on_redis, *in_mongodb, clock_finding([*redis_clocks, *mongodb_clocks])]


def _look_at_redis(here: Place | None) -> Found:
    try:
        with closing(Broker(redis_url_from_env())) as broker, broker.commands("did not answer") as redis:
            return _ask_redis(redis, broker.host, here)
    except ClipqueueError as exc:
        nothing_else = "Until it answers, the queue and the workers cannot be looked at."
        return [Finding.look("redis", str(exc), nothing_else)], []


def _ask_redis(redis: Redis, host: str, here: Place | None) -> Found:
    answers: Any = redis.info()

    def now() -> float:
        seconds, micros = redis.time()
        return seconds + micros / 1e6

    clock = read_clock("Redis", now)
    live = read_workers(redis)
    clocks = [clock, *(Clock(one.note["node"], clock.ahead_s + one.ahead_s) for one in live.workers)]
    notes = [one.note for one in live.workers]
    queue = queue_findings(read_queue(redis), notes)
    return [*server_findings(answers, host), *worker_findings(live, here), *queue, parked_finding(redis)], clocks


def _look_at_mongodb() -> tuple[list[Finding], list[Clock], Place | None]:
    """Return what is found, MongoDB's clock, and the collection that this environment's settings mean."""
    uri = mongodb_uri()
    if uri is None:
        todo = "Set MONGODB_URI to what the workers have, such as mongodb://host:27017/database."
        return [Finding.look("mongodb", "was not looked at: MONGODB_URI is not set", todo)], [], None
    try:
        from producer.operations.doctor.mongo import examine_mongodb  # noqa: PLC0415  (the base install has no pymongo)
    except ImportError:
        todo = "Install clipqueue's extra 'mongo' here: pip install '.[mongo]' in its folder."
        return [Finding.look("mongodb", "was not looked at: pymongo is not installed", todo)], [], None
    try:
        return examine_mongodb(uri, collection_name())
    except ClipqueueError as exc:
        return [Finding.look("mongodb", f"was not looked at: {exc}")], [], None
