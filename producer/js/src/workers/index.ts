/** Redis over TCP in a Cloudflare Worker. This is the only file that imports `cloudflare:sockets`. */

import { connect, type Socket } from "cloudflare:sockets";
import type { Connection } from "../queue/connection.js";
import { readRedisUrl, type RedisUrl } from "./redisurl.js";
import { commandBytes, type Reply, replyReader } from "./resp.js";

/**
 * Return a connection for `EmbeddingClient`. Each command has a socket of its own, because a Worker cannot keep one
 * between two requests.
 *
 * @param url `redis://:password@host:6379/0`, or `rediss://` for TLS with certificate verification.
 * @throws {ConfigurationError} The URL cannot be read. The message does not repeat it.
 */
export function redisOverTcp(url: string): Connection {
  const redis = readRedisUrl(url);
  const { hostname, port, tls, password } = redis;
  return {
    host: `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`,
    secrets: password ? [password] : [],
    async lpush(key, values, signal) {
      const options = { secureTransport: tls ? "on" : "off", allowHalfOpen: false } as const;
      const socket = connect({ hostname, port }, options);
      const close = (): void => void socket.close().catch(() => undefined);
      // The streams report what went wrong. These promises would report it a second time, as unhandled.
      socket.opened.catch(() => undefined);
      socket.closed.catch(() => undefined);
      signal.addEventListener("abort", close);
      try {
        return await push(socket, redis, ["LPUSH", key, ...values]);
      } finally {
        signal.removeEventListener("abort", close);
        close();
      }
    },
  };
}

async function push(socket: Socket, redis: RedisUrl, command: readonly string[]): Promise<number> {
  const ask = conversation(socket);
  const signIn = redis.username ? ["AUTH", redis.username, redis.password] : ["AUTH", redis.password];
  const first = redis.password || redis.username ? [signIn] : [];
  if (redis.database === 0) {
    return Number((await ask([...first, command])).at(-1));
  }
  // In one round trip, Redis would push the job into database 0 if it refused to select another.
  await ask([...first, ["SELECT", String(redis.database)]]);
  return Number((await ask([command]))[0]);
}

/** Return a function that sends commands in one write and returns their replies; it throws the first error among them. */
function conversation(socket: Socket): (commands: ReadonlyArray<readonly string[]>) => Promise<Reply[]> {
  const writer = socket.writable.getWriter();
  const reader = socket.readable.getReader();
  const read = replyReader();
  return async (commands) => {
    await writer.write(commandBytes(commands));
    const replies: Reply[] = [];
    while (replies.length < commands.length) {
      const { value, done } = await reader.read();
      if (done) {
        throw new Error("it closed the connection without an answer");
      }
      replies.push(...read(value));
    }
    return replies;
  };
}
