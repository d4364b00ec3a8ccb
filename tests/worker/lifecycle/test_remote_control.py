"""What remote control tells of the connection to Redis: no password, whatever the form of REDIS_URL."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker import control

from worker.app import create_app
from worker.lifecycle.remote_control import add_consumer, stats
from worker.settings import Settings

SECRETS = ("of-redis", "of-sentinel", "of-key")
FORMS = {
    "tcp": "redis://user:of-redis@host:6379/1",
    "tls": "rediss://:of-redis@host:6379/1",
    "query": "redis://host:6379/1?username=user&password=of-redis",
    "socket": "unix://:of-redis@/run/redis.sock?db=1",
    "sentinel": "sentinel://:of-redis@one:26379,two:26379/1?master_name=main&sentinel_password=of-sentinel",
}


@pytest.mark.parametrize("url", FORMS.values(), ids=FORMS.keys())
def test_no_answer_has_a_password_and_all_are_json(url: str) -> None:
    app = create_app(Settings(REDIS_URL=url))
    if app.conf.broker_use_ssl:  # as with `ssl_password` in the URL, which needs a key that it opens
        app.conf.broker_use_ssl["ssl_password"] = "of-key"
    with app.connection_for_read() as connection:
        celery_s: dict[str, Any] = {"broker": connection.info(), "pid": 7}  # what Celery's own answer has
    assert "of-redis" in str(celery_s)
    state = SimpleNamespace(app=app, consumer=SimpleNamespace(controller=SimpleNamespace(stats=lambda: celery_s)))
    answers = [stats(state), control.conf(state), control.conf(state, with_defaults=True), control.report(state)]
    text = json.dumps(answers)
    assert not [secret for secret in SECRETS if secret in text]
    assert answers[0]["pid"] == 7
    assert answers[0]["broker"] == {"transport": celery_s["broker"]["transport"], "address": app.redis_shown}


def test_a_worker_that_is_not_connected_answers_too() -> None:
    controller = SimpleNamespace(stats=lambda: {"broker": "N/A"})
    assert stats(SimpleNamespace(consumer=SimpleNamespace(controller=controller))) == {"broker": "N/A"}


def test_these_commands_replace_celery_s() -> None:
    assert control.Panel.data["stats"] is stats
    assert control.Panel.data["add_consumer"] is add_consumer


def test_a_worker_consumes_no_other_queue_than_images() -> None:
    """Its messages would not be validated."""
    calls: list[Any] = []
    consumer = SimpleNamespace(call_soon=lambda *args, **_: calls.append(args[1]), add_task_queue=None)
    state = SimpleNamespace(consumer=consumer)
    assert add_consumer(state, "other", exchange="other") == {"error": "workers consume the queue images alone"}
    assert add_consumer(state, "images") == {"ok": "add consumer images"}
    assert calls == ["images"]


def test_a_rate_limit_makes_no_worker_hold_jobs_that_it_does_not_run() -> None:
    assert create_app(Settings(REDIS_URL=FORMS["tcp"])).conf.worker_disable_rate_limits
