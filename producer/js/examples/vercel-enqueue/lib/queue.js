// One connection to Redis for all requests of an instance: this module is loaded once.
import { EmbeddingClient } from "clipqueue";
import { Redis } from "ioredis";

const redis = new Redis(process.env.REDIS_URL, {
  lazyConnect: true, // connect with the first job, not while the module loads
  connectTimeout: 2000,
  socketTimeout: 500, // a connection that died while the instance was suspended is replaced, and the job sent again
  maxRetriesPerRequest: 1, // with the default, 20, a request waits for the whole timeout if Redis is away
  enableReadyCheck: false, // saves an INFO before the first job
  // Leave enableOfflineQueue on: it holds the first job until the connection is there.
});
// Without a listener, ioredis prints each lost connection as an unhandled error. It connects again by itself.
redis.on("error", (error) => console.error("Redis:", error.message));

export const queue = new EmbeddingClient(redis, { timeoutMs: 2000 });
