"""The JavaScript package: a new process that enqueues one image, and many images at once, against other clients."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.rows import Target, in_turn, row
from tests.support.js_package import install_package
from tests.support.node_packages import INSTALLED, is_installed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.bench import Bench
    from tests.bench.rows import Row

_NODE = shutil.which("node") or "node"
_COLD_ROUNDS = 31
_BULK_ROUNDS = 5
# Each program gets the URL of a Redis database.
_ONE_OURS = """
import { EmbeddingClient } from "clipqueue";
import { Redis } from "ioredis";
const redis = new Redis(process.argv[2]);
await new EmbeddingClient(redis).enqueue("img-1", "https://cdn.example.com/1.jpg");
redis.disconnect();
"""
_ONE_THEIRS = """
import { Redis } from "ioredis";
const redis = new Redis(process.argv[2]);
await redis.lpush("images", "x".repeat(1200));
redis.disconnect();
"""
# Both print how many jobs they enqueued in a second. BullMQ adds chunks of the size that ours sends.
_MANY_OURS = """
import { EmbeddingClient } from "clipqueue";
import { Redis } from "ioredis";
const redis = new Redis(process.argv[2]);
await redis.flushdb();
const jobs = Array.from({ length: 50_000 }, (_, n) => [`img-${n}`, `https://cdn.example.com/images/${n}.jpg`]);
const start = performance.now();
await new EmbeddingClient(redis).enqueueMany(jobs);
console.log(50_000_000 / (performance.now() - start));
redis.disconnect();
"""
_MANY_THEIRS = """
import { Queue } from "bullmq";
import { Redis } from "ioredis";
const connection = new Redis(process.argv[2], { maxRetriesPerRequest: null });
await connection.flushdb();
const queue = new Queue("images", { connection });
await queue.waitUntilReady();
const jobs = Array.from({ length: 50_000 }, (_, n) => ({
  name: "embed", data: { image_id: `img-${n}`, url: `https://cdn.example.com/images/${n}.jpg` },
}));
const start = performance.now();
for (let from = 0; from < jobs.length; from += 500) await queue.addBulk(jobs.slice(from, from + 500));
console.log(50_000_000 / (performance.now() - start));
await queue.close();
connection.disconnect();
"""


def rows(bench: Bench) -> Iterator[Row]:
    """Measure the time of each new process, and the jobs/s of each client."""
    if not is_installed():
        sys.stderr.write("javascript: skipped, because the JavaScript clients are not installed\n")
        return
    url = bench.stack.redis_url.removesuffix("0") + "9"
    with tempfile.TemporaryDirectory(prefix="clipqueue-bench-js-") as folder:
        app = Path(folder)
        install_package(app, INSTALLED / "node_modules")
        run = _runner(app, url)
        for code in (_ONE_OURS, _ONE_THEIRS):
            run(code)
        pairs = in_turn(_COLD_ROUNDS, lambda: _took_s(run, _ONE_OURS), lambda: _took_s(run, _ONE_THEIRS))
        yield row("a fresh Node process that enqueues one image / one LPUSH by ioredis", "s", pairs, Target(most=1.1))
        pairs = in_turn(_BULK_ROUNDS, lambda: float(run(_MANY_OURS)), lambda: float(run(_MANY_THEIRS)))
        yield row("enqueueMany of 50,000 / addBulk of BullMQ, in Node", "jobs/s", pairs, Target(least=5))


def _runner(app: Path, url: str) -> Callable[[str], str]:
    def run(code: str) -> str:
        program = app / "program.mjs"
        program.write_text(code)
        done = subprocess.run([_NODE, str(program), url], cwd=app, check=True, capture_output=True, text=True)
        return done.stdout

    return run


def _took_s(run: Callable[[str], str], code: str) -> float:
    start = time.perf_counter()
    run(code)
    return time.perf_counter() - start
