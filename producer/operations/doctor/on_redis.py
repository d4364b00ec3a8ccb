"""Runs the checks on Redis: the server, the workers, the queue and what is stored beside it."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from redis.exceptions import ResponseError

from producer.client.workers import read_workers
from producer.contract.redis_reasons import reason_of
from producer.operations.doctor.clocks import Clock, read_clock
from producer.operations.doctor.parked import messages_finding, space_finding
from producer.operations.doctor.queue import delayed_finding, in_flight_finding, waiting_finding
from producer.operations.doctor.redis import server_findings
from producer.operations.doctor.refusals import refused, unless_refused
from producer.operations.doctor.webhooks import webhook_findings
from producer.operations.doctor.workers import worker_findings

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from producer.client.workers import LiveWorkers
    from producer.operations.doctor.findings import Finding

_ASK_ANOTHER_USER = (
    "Give the user in REDIS_URL the permissions that docs/deployment.md lists, or run clipqueue doctor with the "
    "REDIS_URL of the workers."
)


def check_on_redis(
    redis: Redis, host: str, namespace: tuple[str, str] | None
) -> tuple[list[Finding], list[Clock], list[str]]:
    """Run all checks that Redis answers, each by itself.

    Args:
        redis: The client.
        host: What messages call the server.
        namespace: The database and the collection in this shell's settings, if they are known.

    Returns:
        The findings, the clocks of Redis and the workers, and why clocks could not be read.

    Raises:
        RedisError: Redis does not answer.
    """
    server = server_findings(redis, host)
    clocks, unread = _read_redis_clock(redis)
    # Without the clock of Redis, this machine's tells how old a job is.
    now_s = time.time() + sum(clock.ahead_s for clock in clocks)
    live, workers = _check_workers(redis, namespace)
    consumers = live.consumers if live else None
    checks: dict[str, Callable[[], list[Finding]]] = {
        "queue": lambda: [waiting_finding(redis, consumers, now_s)],
        "in flight": lambda: [in_flight_finding(redis, consumers, now_s)],
        "delayed": lambda: [delayed_finding(redis, consumers, now_s)],
        "parked": lambda: [messages_finding(redis)],
        "parking space": lambda: [space_finding(redis)],
        "webhooks": partial(webhook_findings, redis),
    }
    found = [one for name, check in checks.items() for one in unless_refused(name, check, _ASK_ANOTHER_USER)]
    compared = live.workers if live and clocks else ()
    others = [Clock(one.heartbeat["node"], clocks[0].ahead_s + one.ahead_s) for one in compared]
    return [*server, *workers, *found], [*clocks, *others], unread


def _read_redis_clock(redis: Redis) -> tuple[list[Clock], list[str]]:
    def now() -> float:
        seconds, micros = redis.time()
        return float(seconds + micros / 1e6)

    try:
        return [read_clock("Redis", now)], []
    except ResponseError as exc:
        refused("clocks", exc, "")
        return [], [f"the clocks of Redis and the workers were not compared: {reason_of(exc)}"]


def _check_workers(redis: Redis, namespace: tuple[str, str] | None) -> tuple[LiveWorkers | None, list[Finding]]:
    try:
        live = read_workers(redis)
    except ResponseError as exc:
        return None, [refused("workers", exc, _ASK_ANOTHER_USER)]
    return live, worker_findings(live, namespace)
