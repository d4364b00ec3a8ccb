/** Uses the Redis client that the caller has: ioredis, redis (node-redis), @upstash/redis, or a connection of ours. */

import { ConfigurationError } from "../errors.js";
import { parseUrl } from "../settings.js";
import { type Connection, Refusal } from "./connection.js";
import { CLUSTER } from "./reasons.js";
import { overRest, type UpstashRest } from "./rest.js";

type NodeRedis = { lPush(key: string, values: string[]): Promise<number> };
type Ioredis = { lpush(key: string, ...values: string[]): Promise<number> };

/** A client of ioredis or @upstash/redis (`lpush`), or of the package redis, which is called node-redis too (`lPush`). */
export type RedisClient = Ioredis | NodeRedis;

/** What the clients have besides their commands. Each has only some of it. */
interface Known {
  readonly isCluster?: unknown;
  readonly slots?: unknown;
  readonly isOpen?: unknown;
  readonly isReady?: unknown;
  readonly status?: unknown;
  readonly options?: Place & { readonly keyPrefix?: unknown; readonly password?: unknown; readonly socket?: Place };
  readonly client?: { readonly baseUrl?: unknown };
}

interface Place {
  readonly host?: unknown;
  readonly port?: unknown;
  readonly path?: unknown;
}

const EXPECTED = "pass a client of ioredis, redis or @upstash/redis, or {url, token} of Upstash's REST interface";

/**
 * Return the connection of what the caller passed.
 *
 * @throws {ConfigurationError} It is no client, a client of a Redis Cluster, or one that adds a prefix to keys.
 */
export function connectionOf(redis: UpstashRest | RedisClient | Connection): Connection {
  if ((typeof redis !== "object" && typeof redis !== "function") || redis === null) {
    throw new ConfigurationError(`${EXPECTED}, not ${redis === null ? "null" : typeof redis}`);
  }
  if ("lPush" in redis) {
    return overNodeRedis(redis, redis as Known);
  }
  if ("lpush" in redis) {
    return isConnection(redis) ? redis : overIoredis(redis, redis as Known);
  }
  if ("url" in redis || "token" in redis) {
    return overRest(redis);
  }
  throw new ConfigurationError(EXPECTED);
}

function isConnection(redis: Ioredis | Connection): redis is Connection {
  return "host" in redis && typeof redis.host === "string";
}

/** Return the connection of a client of ioredis or @upstash/redis. */
function overIoredis(redis: Ioredis, known: Known): Connection {
  check(known, known.isCluster === true);
  return {
    host: hostOf(known),
    secrets: secretsOf(known),
    state: () => (typeof known.status === "string" ? `the client's status is "${known.status}"` : ""),
    lpush: (key, values) => redis.lpush(key, ...values),
  };
}

function overNodeRedis(redis: NodeRedis, known: Known): Connection {
  check(known, known.slots !== undefined);
  return {
    host: hostOf(known),
    secrets: secretsOf(known),
    state: () => (known.isReady === false ? "the client is reconnecting" : ""),
    async lpush(key, values) {
      if (known.isOpen === false) {
        throw new Refusal("the client is not connected: await client.connect() first");
      }
      return redis.lPush(key, values);
    },
  };
}

function check(client: Known, isCluster: boolean): void {
  if (isCluster) {
    throw new ConfigurationError(CLUSTER);
  }
  if (client.options?.keyPrefix) {
    throw new ConfigurationError(
      "the client has a keyPrefix, so workers would not find the jobs: pass a client without keyPrefix",
    );
  }
}

function secretsOf(client: Known): readonly string[] {
  const password = client.options?.password;
  return typeof password === "string" && password ? [password] : [];
}

function hostOf(client: Known): string {
  const baseUrl = client.client?.baseUrl;
  const rest = typeof baseUrl === "string" ? parseUrl(baseUrl) : undefined;
  if (rest !== undefined) {
    return rest.host;
  }
  const place = client.options?.socket ?? client.options ?? {};
  if (typeof place.path === "string") {
    return place.path;
  }
  const host = typeof place.host === "string" ? place.host : "localhost";
  return `${host.includes(":") ? `[${host}]` : host}:${typeof place.port === "number" ? place.port : 6379}`;
}
