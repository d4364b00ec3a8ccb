"""Runs all checks with the settings of this environment.

A server that is unavailable is a finding; the other checks still run.
"""

from __future__ import annotations

from contextlib import closing

from producer.client.broker import Broker
from producer.client.environment import collection_name, mongodb_uri, redis_url_from_env
from producer.contract.errors import ClipqueueError
from producer.operations.doctor.clocks import Clock, clock_finding
from producer.operations.doctor.findings import Finding
from producer.operations.doctor.on_redis import check_on_redis

Namespace = tuple[str, str]  # database and collection


def run_checks() -> list[Finding]:
    """Check Redis, MongoDB, the workers and the queue. Reads `REDIS_URL`, `MONGODB_URI` and `CLIPQUEUE_COLLECTION`."""
    mongodb_findings, mongodb_clocks, namespace = _check_mongodb()
    redis_findings, redis_clocks, unread = _check_redis(namespace)
    return [*redis_findings, *mongodb_findings, clock_finding([*redis_clocks, *mongodb_clocks], unread)]


def _check_redis(namespace: Namespace | None) -> tuple[list[Finding], list[Clock], list[str]]:
    try:
        with closing(Broker(redis_url_from_env())) as broker:
            broker.refuse_cluster()
            with broker.commands("did not answer") as redis:
                return check_on_redis(redis, broker.host, namespace)
    except ClipqueueError as exc:
        consequence = "Until it answers, the queue and the workers cannot be checked."
        return [Finding.problem("redis", str(exc), consequence)], [], []


def _check_mongodb() -> tuple[list[Finding], list[Clock], Namespace | None]:
    """Return the findings, MongoDB's clock, and the collection in this environment's settings."""
    uri = mongodb_uri()
    if uri is None:
        todo = "Set MONGODB_URI as for the workers, such as mongodb://host:27017/database."
        return [Finding.problem("mongodb", "not checked: MONGODB_URI is not set", todo)], [], None
    try:
        from producer.operations.doctor.mongo import check_mongodb  # noqa: PLC0415  (needs pymongo)
    except ImportError:
        todo = "Install clipqueue's extra 'mongo' here: pip install '.[mongo]' in the clipqueue checkout."
        return [Finding.problem("mongodb", "not checked: pymongo is not installed", todo)], [], None
    try:
        return check_mongodb(uri, collection_name())
    except ClipqueueError as exc:
        return [Finding.problem("mongodb", f"not checked: {exc}")], [], None
