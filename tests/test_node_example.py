"""The Node example of the README enqueues a job that the worker accepts."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from worker.broker.validation import validate_message

if TYPE_CHECKING:
    import redis

README = (Path(__file__).parents[1] / "README.md").read_text()
# The three calls of the npm package `redis` that the example makes, over a real connection.
REDIS_PACKAGE = """
import net from "node:net";
export const createClient = ({ url }) => ({
  async connect() {
    const { hostname, port, pathname } = new URL(url);
    const socket = net.connect(Number(port), hostname);
    const send = (...words) => new Promise((resolve, reject) => {
      socket.once("data", (reply) => String(reply)[0] === "-" ? reject(new Error(String(reply))) : resolve());
      const bulks = words.map((word) => `$${Buffer.byteLength(word)}\\r\\n${word}\\r\\n`);
      socket.write(`*${words.length}\\r\\n${bulks.join("")}`);
    });
    await send("SELECT", pathname.slice(1));
    return { lPush: (key, item) => send("LPUSH", key, item), destroy: () => socket.destroy() };
  },
});
"""


def test_the_worker_accepts_the_message_of_the_node_example(queue: redis.Redis, redis_url: str, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    [example] = re.findall(r"```js\n(import .*?)```", README, re.DOTALL)
    package = tmp_path / "node_modules" / "redis"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"type": "module", "exports": "./index.js"}')
    (package / "index.js").write_text(REDIS_PACKAGE)
    (tmp_path / "example.mjs").write_text(example)
    subprocess.run(
        [node, "example.mjs"], cwd=tmp_path, env={**os.environ, "REDIS_URL": redis_url}, check=True, timeout=60
    )

    [item] = queue.lrange("images", 0, -1)
    assert isinstance(item, bytes)
    message = validate_message(item, max_countdown_s=60)
    job = json.loads(base64.b64decode(message["body"]))[1]
    assert job.keys() == {"image_id", "url", "enqueued_at"}
    assert (job["image_id"], job["url"]) == ("photo-1", "https://example.com/cat.jpg")
