/** Verifies webhooks of clipqueue, by Web Crypto alone: https://www.standardwebhooks.com. */

import type { WireId } from "./contract/ids.js";
import { ConfigurationError, InvalidWebhook } from "./errors.js";

/** The vector of a job is in its document. */
export interface ImageDone {
  type: "image.done";
  /** When the job ended, ISO 8601. */
  timestamp: string;
  data: { id: WireId; url: string; model: string };
}

/** A job has failed. `url` is missing if the job was not valid. */
export interface ImageFailed {
  type: "image.failed";
  timestamp: string;
  data: { id: WireId; url?: string; error: { code: string; stage: string; message: string } };
}

/** What a webhook tells. Its id is the header `webhook-id`: a job that is told twice has the same one. */
export type WebhookEvent = ImageDone | ImageFailed;

/** A request's headers: `Headers`, or Node's `request.headers`. */
export type WebhookHeaders = Headers | Readonly<Record<string, string | readonly string[] | undefined>>;

/** Options of `verifyWebhook`. */
export interface WebhookOptions {
  /** How old the webhook may be in seconds, and how far ahead its clock; 300 by default. */
  readonly toleranceS?: number | undefined;
}

/**
 * Check that clipqueue sent a webhook, and return its event.
 *
 * @param body The raw body, as it arrived. A parsed and printed body has another signature.
 * @param headers The request's headers.
 * @param secret `CLIPQUEUE_WEBHOOK_SECRET`; several, as an array or with spaces, while they are changed.
 * @throws {InvalidWebhook} The signature, the time or the event is wrong: answer 401.
 * @throws {ConfigurationError} The secret is not set; or it, the body or `toleranceS` cannot be used.
 */
export async function verifyWebhook(
  body: string | Uint8Array,
  headers: WebhookHeaders,
  secret: string | readonly string[] | undefined,
  { toleranceS = 300 }: WebhookOptions = {},
): Promise<WebhookEvent> {
  const keys = keysOf(secret);
  const bytes = bytesOf(body);
  const id = header(headers, "webhook-id");
  const timestamp = header(headers, "webhook-timestamp");
  const signatures = header(headers, "webhook-signature").split(" ").flatMap(readSignature);
  checkTime(timestamp, toleranceS);
  const signed = concatenated(new TextEncoder().encode(`${id}.${timestamp}.`), bytes);
  for (const key of keys) {
    // Once for each key: a header with many signatures must not cost more.
    const expected = await sign(key, signed);
    if (signatures.some((signature) => isEqual(signature, expected))) return parse(bytes);
  }
  throw new InvalidWebhook("no signature fits: the body was changed or parsed, or the secret is another one");
}

function keysOf(secret: unknown): Uint8Array<ArrayBuffer>[] {
  const texts = [secret].flat().flatMap((text) => (typeof text === "string" ? text.split(/\s+/) : [])).filter(Boolean);
  if (texts.length === 0) throw new ConfigurationError("there is no secret: pass CLIPQUEUE_WEBHOOK_SECRET");
  return texts.map(keyOf);
}

function bytesOf(body: unknown): Uint8Array {
  if (typeof body === "string") return new TextEncoder().encode(body);
  // Not `instanceof`: test runners such as Jest have a `Uint8Array` of their own.
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  throw new ConfigurationError(
    "the body must be the raw text or bytes of the request, not a parsed object: use await request.text()",
  );
}

function concatenated(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(first.length + second.length);
  whole.set(first);
  whole.set(second, first.length);
  return whole;
}

function header(headers: WebhookHeaders, name: string): string {
  const value = isHeaders(headers) ? headers.get(name) : valuesOf(headers, name).join(", ").trim();
  if (!value) throw new InvalidWebhook(`the request has no header ${name}`);
  return value;
}

// Not `instanceof`: a framework may have a class of its own.
function isHeaders(headers: WebhookHeaders): headers is Headers {
  return typeof headers.get === "function";
}

function valuesOf(headers: Exclude<WebhookHeaders, Headers>, wanted: string): readonly string[] {
  return Object.entries(headers).flatMap(([name, value]) => (name.toLowerCase() === wanted ? value ?? [] : []));
}

function checkTime(timestamp: string, toleranceS: number): void {
  // A comparison with NaN is false, so it would allow every age.
  if (!(toleranceS >= 0)) throw new ConfigurationError("toleranceS must be a number of seconds, 0 or more");
  if (!/^\d{1,15}$/.test(timestamp)) throw new InvalidWebhook("webhook-timestamp is not a number of seconds");
  const aheadS = Number(timestamp) - Date.now() / 1000;
  if (Math.abs(aheadS) > toleranceS) {
    const seconds = `${Math.round(Math.abs(aheadS))} s ${aheadS < 0 ? "old" : "ahead of this clock"}`;
    throw new InvalidWebhook(`the webhook is ${seconds}; at most ${toleranceS} s are allowed`);
  }
}

function keyOf(secret: string): Uint8Array<ArrayBuffer> {
  const key = secret.startsWith("whsec_") ? fromBase64(secret.slice(6)) : undefined;
  if (key === undefined || key.length < 24 || key.length > 64) {
    throw new ConfigurationError("a secret is whsec_ and 24 to 64 bytes as base64");
  }
  return key;
}

async function sign(key: Uint8Array<ArrayBuffer>, signed: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const imported = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", imported, signed));
}

function readSignature(text: string): Uint8Array[] {
  const signature = text.startsWith("v1,") ? fromBase64(text.slice(3)) : undefined;
  return signature ? [signature] : [];
}

// Takes the same time wherever the two differ, so that nobody can find a signature byte by byte.
function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false;
  return other.reduce((difference, byte, index) => difference | (byte ^ (one[index] ?? 0)), 0) === 0;
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    return undefined;
  }
}

function parse(bytes: Uint8Array): WebhookEvent {
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as WebhookEvent;
  } catch {
    throw new InvalidWebhook("the body is no JSON");
  }
}
