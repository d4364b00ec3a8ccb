"""Names that all programs share: the queue, the task, keys on Redis, the database and the collection."""

IMAGE_QUEUE = "images"
IMAGE_TASK = "clipqueue.embed_image"
# A Redis list, newest first, of items of the queue that are not valid messages, and of messages whose failure MongoDB
# refused to record. Each is a JSON object: `id` (32 hex digits; entries of earlier versions have none), `parked_at` (ms
# since the epoch), `reason`, `bytes` (the item's size) and `item` (as base64; an item that is larger than a message may
# be is cut, and then shorter than `bytes`).
PARKED_LIST = "clipqueue:parked"
# The sum of the lengths of those entries. Above the maximum, the oldest entries are dropped, and counted here.
PARKED_BYTES = "clipqueue:parked_bytes"
PARKED_DROPPED = "clipqueue:parked_dropped"
PARKED_MAX_BYTES = 16 * 1024 * 1024
# kombu's keys for messages that were delivered and are not acked yet: a hash of the messages by delivery tag, and a
# sorted set of the delivery tags by delivery time (seconds since the epoch).
UNACKED = "unacked"
UNACKED_INDEX = "unacked_index"
# A sorted set of the messages of jobs that wait for their next attempt, scored by the time when they are due (seconds
# since the epoch by the clock of Redis). Workers move due messages to the head of the queue.
DELAYED = "clipqueue:delayed"
# Each worker process has a Redis key: this prefix, its node name, a colon and an id of the process. The value is a
# `WorkerHeartbeat` as JSON. The key expires HEARTBEAT_TTL_S seconds after the last heartbeat.
WORKER_KEY = "clipqueue:worker:"
HEARTBEAT_TTL_S = 30
# A sorted set of these keys, scored by the last heartbeat, in seconds since the epoch by the clock of Redis. It names
# the workers, so that nobody scans all keys of the database.
WORKERS = "clipqueue:workers"
# Queries: lists of ids, which workers take from the tail. All workers read this one. The workers that run a model also
# read the list with a colon and the model's name appended. A list expires QUERY_LIST_TTL_MS after the last query.
QUERIES = "clipqueue:queries"
QUERY_LIST_TTL_MS = 60_000
# A query as JSON: this prefix and its id. Its expiry is the asker's deadline. The same with IMAGE_SUFFIX has the bytes
# of an uploaded picture.
QUERY_KEY = "clipqueue:query:"
IMAGE_SUFFIX = ":image"
# Answers: a list for each asker. It expires ANSWERS_TTL_MS after the last answer.
ANSWERS_KEY = "clipqueue:answers:"
ANSWERS_TTL_MS = 60_000
# A sorted set of the workers that answer queries: for each a JSON object with `node`, `model`, `dim` and
# `context_length`, scored by its last heartbeat, in seconds since the epoch by the clock of Redis. Workers whose last
# heartbeat is older than HEARTBEAT_TTL_S are dead.
QUERY_WORKERS = "clipqueue:query_workers"
# A stream of the jobs that have ended and that no receiver of webhooks has accepted yet, the oldest first. Each entry
# has a field `event`, an `EndedJob` as JSON. Above the maximum, the oldest events are dropped, and counted here with
# those that Redis refused.
ENDED = "clipqueue:ended"
MAX_ENDED = 10_000
ENDED_DROPPED = "clipqueue:ended_dropped"
# How many events the receiver has refused.
ENDED_REFUSED = "clipqueue:ended_refused"
# Two sets of names of Redis keys, so that a purge finds the keys without reading those of other programs: the progress
# of backfills and retries, and what sweeps have enqueued or read. A backfill's key with WATCHED_SUFFIX is a list of the
# jobs that it watches. A purge leaves only the field PURGED in the backfill's key, for PURGED_TTL_S seconds.
BACKFILLS = "clipqueue:backfills"
SWEEPS = "clipqueue:sweeps"
WATCHED_SUFFIX = ":jobs"
PURGED = "purged"
PURGED_TTL_S = 24 * 3600
# The lock of the `clipqueue notify` that sends.
NOTIFY_LOCK = "clipqueue:notify:lock"
DEFAULT_DATABASE = "clipqueue"
DEFAULT_COLLECTION = "images"
