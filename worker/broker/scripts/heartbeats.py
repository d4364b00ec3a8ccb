"""Showing that a worker is alive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.contract.names import QUERY_WORKERS, WORKERS
from worker.broker.scripts.lua import CLOCK, run

if TYPE_CHECKING:
    import redis

# The second key has the names of all workers' keys, the third one the workers that answer queries. Those whose
# heartbeats have ended are removed.
_HEARTBEAT = f"""
{CLOCK}
local function note(workers, worker)
  redis.call('ZADD', workers, now, worker)
  redis.call('ZREMRANGEBYSCORE', workers, '-inf', now - ARGV[2])
end

redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
note(KEYS[2], KEYS[1])
if ARGV[3] ~= '' then note(KEYS[3], ARGV[3]) end
"""


def write_heartbeat(redis: redis.Redis, key: str, heartbeat: str, ttl_s: int, query_worker: str = "") -> None:
    """Set a key that expires after `ttl_s`, and note its name among the workers.

    Args:
        redis: The client.
        key: The worker's key.
        heartbeat: The heartbeat as JSON.
        ttl_s: Seconds until the worker counts as dead.
        query_worker: Its entry among the workers that answer queries; empty if it answers none.
    """
    run(redis, _HEARTBEAT, [key, WORKERS, QUERY_WORKERS], [heartbeat, ttl_s, query_worker])


def remove_heartbeat(redis: redis.Redis, key: str) -> None:
    """Delete a worker's key, and its name among the workers."""
    pipeline = redis.pipeline()
    pipeline.delete(key)
    pipeline.zrem(WORKERS, key)
    pipeline.execute()
