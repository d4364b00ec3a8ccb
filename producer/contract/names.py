"""Names that all programs share: the queue, the task, keys on Redis, the database and the collection."""

IMAGE_QUEUE = "images"
IMAGE_TASK = "clipqueue.embed_image"
# A Redis list of items that were on the queue and are not valid messages, newest first. Each is a JSON object:
# `parked_at` (ms since the epoch), `reason`, `bytes` (the item's size) and `item` (its first bytes as base64).
PARKED_LIST = "clipqueue:parked"
# kombu's keys for messages that were delivered and are not acked yet: a hash of the messages by delivery tag, and a
# sorted set of the delivery tags by delivery time (seconds since the epoch).
UNACKED = "unacked"
UNACKED_INDEX = "unacked_index"
# Each worker process has a Redis key: this prefix, its node name, a colon and an id of the process. The value is a
# `WorkerHeartbeat` as JSON. The key expires HEARTBEAT_TTL_S seconds after the last heartbeat.
WORKER_KEY = "clipqueue:worker:"
HEARTBEAT_TTL_S = 30
DEFAULT_DATABASE = "clipqueue"
DEFAULT_COLLECTION = "images"
