// Enqueues one image by each transport. The id of the image is `<RUNTIME>-<transport>`.
import { ClipqueueApi, EmbeddingClient } from "clipqueue";

// A client, and a function that closes its connection. The packages are imported late: a runtime may not have what one
// of them needs.
const transports = {
  async ioredis(env) {
    const { Redis } = await import("ioredis");
    const redis = new Redis(env.REDIS_URL, { lazyConnect: true, maxRetriesPerRequest: 1 });
    redis.on("error", () => {});
    return [new EmbeddingClient(redis), () => redis.disconnect()];
  },
  async "node-redis"(env) {
    const { createClient } = await import("redis");
    const redis = createClient({ url: env.REDIS_URL });
    redis.on("error", () => {});
    await redis.connect();
    return [new EmbeddingClient(redis), () => redis.destroy()];
  },
  async upstash(env) {
    const { Redis } = await import("@upstash/redis");
    return [new EmbeddingClient(new Redis({ url: env.KV_REST_API_URL, token: env.KV_REST_API_TOKEN }))];
  },
  async rest(env) {
    return [EmbeddingClient.fromEnv(env)];
  },
  async tcp(env) {
    const { redisOverTcp } = await import("clipqueue/workers");
    return [new EmbeddingClient(redisOverTcp(env.REDIS_URL))];
  },
  async api(env) {
    return [new ClipqueueApi({ baseUrl: env.CLIPQUEUE_URL, apiKey: env.CLIPQUEUE_KEY })];
  },
};

/** Return for each transport "yes", or the message of its error. */
export async function enqueueByAll(env) {
  const outcomes = {};
  for (const [name, connect] of Object.entries(transports)) {
    try {
      const [client, close] = await connect(env);
      await client.enqueue(`${env.RUNTIME}-${name}`, "https://example.com/cat.jpg");
      close?.();
      outcomes[name] = "yes";
    } catch (error) {
      outcomes[name] = String(error?.message ?? error);
    }
  }
  return outcomes;
}
