/** Upstash's REST interface, by `fetch` alone: https://upstash.com/docs/redis/features/restapi. */

import { ConfigurationError } from "../errors.js";
import { parseUrl, unquoted } from "../settings.js";
import { type Connection, Refusal } from "./connection.js";

/** Where Upstash's REST interface is, such as `https://xyz.upstash.io`, and a token that may write. */
export type UpstashRest = { readonly url: string; readonly token: string };

type Answer = { readonly result?: unknown; readonly error?: unknown };

const TOO_MANY = "it refuses more requests for now (HTTP 429): enqueue more slowly, or choose a larger plan";

/**
 * Return a connection by REST. If the network fails, the command is sent once more: jobs are idempotent.
 *
 * @param names What errors call the two values, such as the names of variables.
 * @throws {ConfigurationError} The URL or the token cannot be used. The message does not repeat them.
 */
export function overRest(rest: UpstashRest, names: readonly [string, string] = ["url", "token"]): Connection {
  const url = readUrl(names[0], rest.url);
  const token = readToken(names[1], rest.token);
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const send = (body: string, signal: AbortSignal): Promise<Response> =>
    fetch(url, { method: "POST", headers, body, signal, redirect: "manual" });
  return {
    host: url.host,
    secrets: [token],
    async lpush(key, values, signal) {
      const body = JSON.stringify(["LPUSH", key, ...values]);
      const response = await send(body, signal).catch(() => {
        signal.throwIfAborted();
        return send(body, signal); // a function that was suspended finds its connections closed
      });
      return readAnswer(response, names);
    },
  };
}

async function readAnswer(response: Response, names: readonly [string, string]): Promise<number> {
  const { status } = response;
  const { result, error } = parse(await response.text());
  if (response.ok && typeof result === "number") {
    return result;
  }
  if (status === 0 || (status >= 300 && status < 400)) {
    throw new Refusal(`it redirects to another address, which is not followed: check ${names[0]}`);
  }
  if (status === 401 || status === 403) {
    throw new Refusal(`it refuses the token (HTTP ${status}): check ${names[1]}`);
  }
  if (status === 429) {
    throw new Refusal(TOO_MANY);
  }
  if (typeof error === "string") {
    throw new Error(error);
  }
  throw new Refusal(`its answer (HTTP ${status}) is not one of Upstash's REST interface: check ${names[0]}`);
}

function parse(text: string): Answer {
  try {
    return (JSON.parse(text) as Answer | null) ?? {};
  } catch {
    return {};
  }
}

function readUrl(name: string, value: unknown): URL {
  const text = present(name, value);
  if (/^rediss?:/i.test(text)) {
    throw new ConfigurationError(
      `${name} is a redis:// URL, not https://; for redis://, pass a client of ioredis or redis`,
    );
  }
  const url = parseUrl(text);
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash) {
    throw new ConfigurationError(`${name} is not a URL of Upstash's REST interface, such as https://xyz.upstash.io`);
  }
  return url;
}

function readToken(name: string, value: unknown): string {
  const token = present(name, value);
  if (!/^[!-~]+$/.test(token)) {
    throw new ConfigurationError(`${name} contains a space or a character that no token has; copy it again`);
  }
  return token;
}

function present(name: string, value: unknown): string {
  const text = unquoted(value);
  if (!text) {
    throw new ConfigurationError(`${name} is missing or empty`);
  }
  return text;
}
