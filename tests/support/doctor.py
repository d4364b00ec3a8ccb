"""Runs `clipqueue doctor` in this process, and writes heartbeats of workers that do not exist."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from producer.cli.doctor import doctor
from producer.contract.job import now_ms
from producer.contract.names import HEARTBEAT_TTL_S, WORKER_KEY, WORKERS

if TYPE_CHECKING:
    import redis

    from producer.contract.fields import WorkerHeartbeat
    from producer.local.stack import Stack

SETTINGS = ("REDIS_URL", "MONGODB_URI", "MONGO_URL", "CLIPQUEUE_COLLECTION")


class Findings:
    """What `clipqueue doctor --json` printed, by subject: the outcome, whether it is ok, and its lines as one text."""

    def __init__(self, exit_code: int, findings: list[dict[str, Any]]) -> None:
        self.exit_code = exit_code
        self.outcome: dict[str, str] = {finding["subject"]: finding["outcome"] for finding in findings}
        self.is_ok: dict[str, bool] = {subject: outcome == "ok" for subject, outcome in self.outcome.items()}
        self.text: dict[str, str] = {finding["subject"]: "\n".join(finding["lines"]) for finding in findings}

    def __getitem__(self, subject: str) -> tuple[bool, str]:
        return self.is_ok[subject], self.text[subject]


def run_doctor(stack: Stack, **env: str | None) -> Findings:
    """Run `clipqueue doctor --json` on the stack's servers; `env` are further settings, None unsets one."""
    settings = {"REDIS_URL": stack.redis_url, "MONGODB_URI": stack.mongodb_uri, **env}
    result = CliRunner(env={name: settings.get(name) for name in SETTINGS}).invoke(doctor, ["--json"])
    return Findings(result.exit_code, json.loads(result.stdout))


def write_heartbeat(broker: redis.Redis, name: str, ago_s: float = 0, **fields: Any) -> None:
    """Write the heartbeat that a worker wrote to Redis `ago_s` seconds ago; `fields` replace the default ones."""
    heartbeat: WorkerHeartbeat = {
        "node": name,
        "version": "0.1.0",
        "model": "ViT-B-32-quickgelu/openai",
        "precision": "fp32",
        "device": "cpu",
        "database": "clipqueue",
        "collection": "images",
        "concurrency": 32,
        "visibility_timeout_s": 80,
        "upsert": True,
        "started_at": now_ms(),
        "at": now_ms(),
        "store_away": False,
    }
    write_worker(broker, name, json.dumps({**heartbeat, **fields}), ago_s)


def write_worker(broker: redis.Redis, name: str, content: str | bytes, ago_s: float = 0) -> None:
    """Write a worker's key, and note its name among the workers."""
    seconds, micros = broker.time()
    broker.set(WORKER_KEY + name, content, ex=HEARTBEAT_TTL_S)
    broker.zadd(WORKERS, {WORKER_KEY + name: seconds + micros / 1e6 - ago_s})
