"""The names that programs share: the queue, the task, keys on Redis, the database and the collection."""

IMAGE_QUEUE = "images"
IMAGE_TASK = "clipqueue.embed_image"
# The Redis list of what came off the queue and was no job, newest first: JSON objects with `parked_at` (ms since the
# epoch), `reason`, `bytes` (its size) and `item` (its beginning, as base64).
PARKED_LIST = "clipqueue:parked"
# Where kombu notes what workers have taken and not yet acked: a hash of messages by delivery tag, and a sorted set of
# when (seconds since the epoch).
UNACKED = "unacked"
UNACKED_INDEX = "unacked_index"
# The prefix of a Redis key for each worker process, followed by its node name. It holds a `WorkerHeartbeat` as JSON and
# expires HEARTBEAT_TTL_S seconds after the last heartbeat.
WORKER_KEY = "clipqueue:worker:"
HEARTBEAT_TTL_S = 30
DEFAULT_DATABASE = "clipqueue"
DEFAULT_COLLECTION = "images"
