/** Reads the answers of the API, and those of proxies in front of it. */

import { ApiError, type ApiFailure } from "../errors.js";

const MAX_MESSAGE_CHARS = 1000;

/**
 * Return the JSON of an answer; undefined for one without a body.
 *
 * @throws {ApiError} The request was refused, or the answer is not JSON.
 */
export function readAnswer(response: Response, body: string, host: string): unknown {
  const json = parse(body);
  if (!response.ok) throw refusal(response, json, host);
  if (json === undefined && body !== "") {
    throw notOurs(host, head(response));
  }
  return json;
}

/**
 * Return an answer that has a field.
 *
 * @throws {ApiError} It has not: something else than the API answers at this address.
 */
export function withField<T>(answer: unknown, name: keyof T & string, host: string): T {
  if (field(answer, name) === undefined) throw notOurs(host, { status: 200 });
  return answer as T;
}

function notOurs(host: string, answer: ApiFailure): ApiError {
  return new ApiError(`${host} answered ${answer.status}, but not as the API does: is baseUrl its address?`, answer);
}

/**
 * Return how long an answer asks to wait, in milliseconds; undefined if it does not.
 *
 * A date is compared with the date of the answer itself, so that a wrong clock on this machine changes nothing.
 */
export function retryAfterMs(headers: Headers): number | undefined {
  const text = headers.get("retry-after")?.trim() ?? "";
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  const at = text.endsWith("GMT") ? Date.parse(text) : NaN;
  const now = Date.parse(headers.get("date") ?? "");
  return Number.isNaN(at) ? undefined : Math.max(0, at - (Number.isNaN(now) ? Date.now() : now));
}

function refusal(response: Response, json: unknown, host: string): ApiError {
  const error = field(json, "error");
  const message = text(field(error, "message")) ?? text(error);
  const [code, param] = [text(field(error, "code")), text(field(error, "param"))];
  const what = `${host} answered ${response.status}${code ? ` ${code}` : ""}${param ? ` (${param})` : ""}`;
  const why = message?.slice(0, MAX_MESSAGE_CHARS) ?? unexplained(response);
  return new ApiError(`${what}: ${why}`, { ...head(response), code, param });
}

function unexplained(response: Response): string {
  // A redirect is not followed: it could take the key to another host, and turns a POST into a GET.
  const isRedirect = response.type === "opaqueredirect" || (response.status >= 300 && response.status < 400);
  return isRedirect ? "a redirect; give the address that it leads to as baseUrl" : "not an answer of the API";
}

function head(response: Response): ApiFailure {
  const requestId = response.headers.get("x-request-id") ?? undefined;
  return { status: response.status, requestId, retryAfterMs: retryAfterMs(response.headers) };
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
