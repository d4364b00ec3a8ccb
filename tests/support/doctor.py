"""`clipqueue doctor` in this process, and the notes that it reads of workers that are not there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from producer.cli.doctor import doctor
from producer.contract.job import now_ms
from producer.contract.names import HEARTBEAT_TTL_S, WORKER_KEY

if TYPE_CHECKING:
    import redis

    from producer.contract.fields import WorkerHeartbeat
    from producer.local.stack import Stack

SETTINGS = ("REDIS_URL", "MONGODB_URI", "MONGO_URL", "CLIPQUEUE_COLLECTION")


class Findings:
    """What `clipqueue doctor` printed: whether each subject was well, and its lines as one text."""

    def __init__(self, exit_code: int, found: list[dict[str, Any]]) -> None:
        self.exit_code = exit_code
        self.well: dict[str, bool] = {one["subject"]: one["well"] for one in found}
        self.text: dict[str, str] = {one["subject"]: "\n".join(one["lines"]) for one in found}

    def __getitem__(self, subject: str) -> tuple[bool, str]:
        return self.well[subject], self.text[subject]


def examine(stack: Stack, **env: str | None) -> Findings:
    """Run `clipqueue doctor --json` on the stack's servers; `env` are settings beside theirs, None unsets one."""
    settings = {"REDIS_URL": stack.redis_url, "MONGODB_URI": stack.mongodb_uri, **env}
    done = CliRunner(env={name: settings.get(name) for name in SETTINGS}).invoke(doctor, ["--json"])
    return Findings(done.exit_code, json.loads(done.stdout))


def leave_note(broker: redis.Redis, name: str, expire_s: int | None = HEARTBEAT_TTL_S, **fields: Any) -> None:
    """Say on Redis that a worker lives."""
    note: WorkerHeartbeat = {
        "node": name,
        "version": "0.1.0",
        "model": "ViT-B-32-quickgelu/openai",
        "database": "clipqueue",
        "collection": "images",
        "concurrency": 32,
        "visibility_timeout_s": 80,
        "upsert": True,
        "started_at": now_ms(),
        "at": now_ms(),
        "store_away": False,
    }
    broker.set(WORKER_KEY + name, json.dumps({**note, **fields}), ex=expire_s)
