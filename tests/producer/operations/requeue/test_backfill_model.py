"""The model that a backfill compares vectors with, when it is resumed and the workers have stopped or changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.contract.names import WORKER_KEY
from tests.producer.operations.shop import FIELD, Document, done, fill, photo, write_worker
from tests.support.commands import invoke
from tests.support.queued import queued_ids

if TYPE_CHECKING:
    import redis
    from pymongo.collection import Collection


def stop_workers(queue: redis.Redis) -> None:
    queue.delete(*queue.keys(WORKER_KEY + "*"))


def test_without_a_live_worker_a_backfill_continues_with_the_model_it_started_with(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    ids = fill(shop, 1200)
    write_worker(queue, "one@host", "m")
    assert invoke("backfill", *FIELD, "--limit", "600", **env).returncode == 0
    stop_workers(queue)
    resumed = invoke("backfill", *FIELD, **env)
    assert "no live worker reports its model: continuing with m" in resumed.stderr
    assert resumed.stdout == "enqueued 1200, skipped 0, unusable 0\n"
    assert sorted(queued_ids(queue)) == sorted(ids), "each once"


def interrupted(queue: redis.Redis, shop: Collection[Document], env: dict[str, str]) -> None:
    """Enqueue one of two stale documents, for the model a; then the workers run b."""
    shop.insert_many([photo("1", record=done(model="old")), photo("2", record=done(model="old"))])
    write_worker(queue, "one@host", "a")
    assert invoke("backfill", *FIELD, "--limit", "1", **env).returncode == 0
    write_worker(queue, "one@host", "b")


def test_if_the_workers_run_another_model_the_command_says_what_to_do(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    interrupted(queue, shop, env)
    changed = invoke("backfill", *FIELD, **env)
    assert changed.returncode == 1
    assert "started for the model a, and the workers now run b" in changed.stderr
    assert "--restart to start over for b, or --model a to continue for a" in changed.stderr
    assert queued_ids(queue) == ["1"]
    assert invoke("backfill", *FIELD, "--restart", **env).stdout == "enqueued 2, skipped 0, unusable 0\n"


def test_the_old_model_continues_if_it_is_named(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    interrupted(queue, shop, env)
    assert "continuing after '1'" in invoke("backfill", *FIELD, "--model", "a", **env).stderr
    assert queued_ids(queue) == ["1", "2"]
    assert "continuing" not in invoke("backfill", *FIELD, "--model", "a", "--dry-run", **env).stderr


def test_another_model_that_is_named_is_another_backfill(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    interrupted(queue, shop, env)
    other = invoke("backfill", *FIELD, "--model", "b", "--limit", "1", **env)
    assert (other.returncode, "continuing" in other.stderr) == (0, False)
    assert "continuing after '1'" in invoke("backfill", *FIELD, "--model", "b", **env).stderr
    assert queued_ids(queue) == ["1", "1", "2"]


def test_a_backfill_that_started_without_a_worker_compares_no_model_when_it_continues(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    shop.insert_many([photo("1"), photo("2"), photo("3", record=done(model="old"))])
    assert "only URLs are compared" in invoke("backfill", *FIELD, "--limit", "1", **env).stderr
    write_worker(queue, "one@host", "m")
    resumed = invoke("backfill", *FIELD, **env)
    assert "started without a live worker: only URLs are compared. --restart compares models too" in resumed.stderr
    assert queued_ids(queue) == ["1", "2"]
    assert invoke("backfill", *FIELD, **env).stdout == "enqueued 3, skipped 0, unusable 0\n", "a new one compares both"


def test_a_retry_needs_no_model(queue: redis.Redis, shop: Collection[Document], env: dict[str, str]) -> None:
    for number, model in enumerate("ab"):
        write_worker(queue, f"{number}@host", model)
    assert invoke("retry", **env).stdout == "enqueued 0, skipped 0, unusable 0\n"
