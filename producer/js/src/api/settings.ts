/** The options of the client, checked. */

import { checkedTimeout } from "../deadline.js";
import { ConfigurationError } from "../errors.js";
import { parseUrl } from "../settings.js";

/** Send a request as `fetch` does. A Cloudflare service binding: `(url, init) => env.API.fetch(url, init)`. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** The options of a ClipqueueApi. */
export interface ApiOptions {
  /** The address of `clipqueue serve`. `/v1` at its end is ignored. */
  readonly baseUrl: string | URL;
  /** One of the keys in `CLIPQUEUE_API_KEYS`, if the API has any. */
  readonly apiKey?: string | undefined;
  /** The most that a call may take with all its repetitions, in milliseconds; 20,000 by default. */
  readonly timeoutMs?: number | undefined;
  /** Used instead of the global `fetch`. */
  readonly fetch?: Fetch | undefined;
}

/** The variables `CLIPQUEUE_URL`, the address of the API, and `CLIPQUEUE_KEY`, one of its keys. */
export type ApiEnv =
  | { readonly CLIPQUEUE_URL?: string | undefined; readonly CLIPQUEUE_KEY?: string | undefined }
  | Readonly<Record<string, string | undefined>>;

/** Where requests go. */
export interface Connection {
  /** Without a slash at the end. */
  base: string;
  /** What errors call it. */
  host: string;
  headers: Record<string, string>;
  timeoutMs: number;
  fetch: Fetch | undefined;
}

const TIMEOUT_MS = 20_000; // the API waits up to 15 s for the vector of an image

/**
 * Return where requests go.
 *
 * @throws {ConfigurationError} The address, the key or an option cannot be used. The message repeats none of them.
 */
export function connection({ baseUrl, apiKey, fetch, timeoutMs }: ApiOptions): Connection {
  const url = readBaseUrl(String(baseUrl));
  if (fetch != null && typeof fetch !== "function") {
    throw new ConfigurationError("fetch must be a function");
  }
  const headers: Record<string, string> = { accept: "application/json" };
  if (apiKey !== undefined) headers["authorization"] = `Bearer ${checkedKey(apiKey)}`;
  const base = url.origin + url.pathname.replace(/\/+$/, "").replace(/\/v1$/, "");
  return { base, host: url.host, headers, timeoutMs: checkedTimeout(timeoutMs, TIMEOUT_MS), fetch };
}

function readBaseUrl(text: string): URL {
  if (!/^https?:\/\//i.test(text)) {
    throw new ConfigurationError("baseUrl must start with http:// or https://, such as https://clipqueue.example.com");
  }
  const url = parseUrl(text);
  if (url === undefined) throw new ConfigurationError("baseUrl cannot be read: its host or port is malformed");
  if (url.username || url.password) throw new ConfigurationError("baseUrl has a user name or password; give apiKey");
  if (url.search || url.hash) throw new ConfigurationError("baseUrl has a query or a fragment; leave it out");
  return url;
}

function checkedKey(key: string): string {
  if (/^(["']).*\1$/.test(key)) throw new ConfigurationError("apiKey is in quotation marks; leave them out");
  if (/^[!-~]+$/.test(key)) return key;
  throw new ConfigurationError(
    "apiKey must be printable ASCII characters without a space or a line break; check how it was copied",
  );
}
