/** Sends requests, and repeats those that failed for a reason that passes. */

import { pause, within } from "../deadline.js";
import { ApiError, ApiUnavailable } from "../errors.js";
import { readAnswer } from "./answers.js";
import type { Connection } from "./settings.js";

/** A request that may be sent more than once: every request of this client may. */
export interface Call {
  method: "GET" | "POST" | "PUT" | "DELETE";
  /** With its query. */
  path: string;
  body?: string | Uint8Array<ArrayBuffer>;
}

/** How long a request may take. */
export interface Limits {
  /** With all repetitions and pauses, in milliseconds; by default, the client's. */
  timeoutMs?: number;
  /** Without an answer for so long, it is sent again. By default, the whole time is one attempt's. */
  attemptMs?: number;
  signal?: AbortSignal | undefined;
}

const PASSING = [429, 502, 503, 504];
const FIRST_PAUSE_MS = 250;
const MAX_PAUSE_MS = 8000;

/**
 * Return the JSON that the API answers with.
 *
 * @throws {ApiError} It refused the request, and the reason did not pass in time.
 * @throws {ApiUnavailable} It did not answer.
 */
export async function send(api: Connection, call: Call, limits: Limits): Promise<unknown> {
  const { timeoutMs = api.timeoutMs, attemptMs = timeoutMs, signal } = limits;
  const until = Date.now() + timeoutMs;
  const late = (): Error =>
    new ApiUnavailable(`${api.host} did not answer within ${Math.min(timeoutMs, attemptMs)} ms`, api.host);
  for (let attempt = 0; ; attempt += 1) {
    try {
      const leftMs = Math.max(1, Math.min(until - Date.now(), attemptMs));
      return await within(signal, (ended) => sendOnce(api, call, ended), leftMs, late);
    } catch (error) {
      const pauseMs = pauseAfter(error, attempt);
      if (pauseMs === undefined || Date.now() + pauseMs >= until) throw error;
      await pause(pauseMs, signal);
    }
  }
}

async function sendOnce(api: Connection, call: Call, signal: AbortSignal): Promise<unknown> {
  let response: Response;
  let body: string;
  try {
    response = await (api.fetch ?? globalThis.fetch)(api.base + call.path, init(api, call, signal));
    body = await response.text();
  } catch (error) {
    throw new ApiUnavailable(`${api.host} cannot be reached${reason(error)}`, api.host);
  }
  return readAnswer(response, body, api.host);
}

function init(api: Connection, call: Call, signal: AbortSignal): RequestInit {
  const headers = { ...api.headers };
  if (call.body !== undefined) {
    headers["content-type"] = typeof call.body === "string" ? "application/json" : "application/octet-stream";
  }
  return { method: call.method, headers, body: call.body ?? null, redirect: "manual", signal, ...withoutCache() };
}

/** Return how long to wait before the request is sent again; undefined if that is useless. */
function pauseAfter(error: unknown, attempt: number): number | undefined {
  const backoffMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt) * (0.5 + Math.random() / 2);
  if (error instanceof ApiUnavailable) return backoffMs;
  if (!(error instanceof ApiError) || !PASSING.includes(error.status)) return undefined;
  // The API says when a reason passes. Without that, only the page of a proxy is worth another attempt.
  if (error.retryAfterMs === undefined && error.code !== undefined) return undefined;
  return Math.max(error.retryAfterMs ?? 0, backoffMs);
}

/** Return the code of a network error. Its message is left out: it may repeat the request. */
function reason(error: unknown): string {
  const { code, cause } = Object(error) as { code?: unknown; cause?: { code?: unknown } };
  const found = cause?.code ?? code;
  return typeof found === "string" && /^\w+$/.test(found) ? `: ${found}` : "";
}

// Next.js caches what `fetch` gets unless it is told not to. Workers with an old compatibility date lack the option.
function withoutCache(): RequestInit {
  try {
    new Request("http://localhost", { cache: "no-store" });
    return { cache: "no-store" };
  } catch {
    return {};
  }
}
