/** Verifies webhooks of clipqueue, by Web Crypto alone: https://www.standardwebhooks.com. */

import { ConfigurationError, InvalidWebhook } from "./errors.js";

/** An image's id: a string, or a MongoDB ObjectId. */
type WebhookImageId = string | { $oid: string };

/** The vector of a job is in its document. */
export interface ImageDone {
  type: "image.done";
  /** When the job ended, ISO 8601. */
  timestamp: string;
  data: { id: WebhookImageId; url: string; model: string };
}

/** A job has failed. `url` is missing if the job was not valid. */
export interface ImageFailed {
  type: "image.failed";
  timestamp: string;
  data: { id: WebhookImageId; url?: string; error: { code: string; stage: string; message: string } };
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

// While a secret is changed, a webhook has two. With more, anyone could make the receiver hash a large body many times.
const MAX_SIGNATURES = 10;

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
  options: WebhookOptions = {},
): Promise<WebhookEvent> {
  const { toleranceS = 300 } = options;
  // Written so that NaN is refused: no age is above it, so it would allow every age.
  if (!(toleranceS >= 0)) throw new ConfigurationError("toleranceS must be a number of seconds, at least 0");
  const keys = await importKeys(secret ?? []);
  const bytes = bytesOf(body);
  const id = header(headers, "webhook-id");
  const timestamp = header(headers, "webhook-timestamp");
  const signatures = signaturesOf(header(headers, "webhook-signature"));
  checkTime(timestamp, toleranceS);
  const signed = joined(new TextEncoder().encode(`${id}.${timestamp}.`), bytes);
  for (const key of keys) {
    for (const signature of signatures) {
      if (await crypto.subtle.verify("HMAC", key, signature, signed)) return parse(bytes);
    }
  }
  throw new InvalidWebhook("no signature fits: the body was changed or parsed, or the secret is another one");
}

function bytesOf(body: unknown): Uint8Array {
  if (typeof body === "string") return new TextEncoder().encode(body);
  if (body instanceof Uint8Array) return body;
  throw new ConfigurationError(
    "the body must be the raw text or bytes of the request, not a parsed object: use await request.text()",
  );
}

function header(headers: WebhookHeaders, name: string): string {
  const value = isHeaders(headers) ? headers.get(name) : new Headers(Object.entries(headers).flatMap(pairs)).get(name);
  if (!value) throw new InvalidWebhook(`the request has no header ${name}`);
  return value;
}

// Not `instanceof`: a framework may have a class of its own.
function isHeaders(headers: WebhookHeaders): headers is Headers {
  return typeof headers.get === "function";
}

function pairs([name, value]: [string, string | readonly string[] | undefined]): [string, string][] {
  if (!/^webhook-/i.test(name) || value === undefined) return [];
  return (typeof value === "string" ? [value] : value).map((one) => [name, one]);
}

function signaturesOf(text: string): Uint8Array<ArrayBuffer>[] {
  const ours = text.split(" ").filter((one) => one.startsWith("v1,"));
  return ours.slice(0, MAX_SIGNATURES).flatMap((one) => fromBase64(one.slice(3)) ?? []);
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}

function checkTime(timestamp: string, toleranceS: number): void {
  if (!/^\d{1,15}$/.test(timestamp)) throw new InvalidWebhook("webhook-timestamp is not a number of seconds");
  const aheadS = Number(timestamp) - Date.now() / 1000;
  if (Math.abs(aheadS) > toleranceS) {
    const seconds = `${Math.round(Math.abs(aheadS))} s ${aheadS < 0 ? "old" : "ahead of this clock"}`;
    throw new InvalidWebhook(`the webhook is ${seconds}; at most ${toleranceS} s are allowed`);
  }
}

async function importKeys(secret: string | readonly string[]): Promise<CryptoKey[]> {
  const texts = [secret].flat().flatMap((text) => text.split(/\s+/)).filter(Boolean);
  if (texts.length === 0) throw new ConfigurationError("there is no secret: pass CLIPQUEUE_WEBHOOK_SECRET");
  return Promise.all(texts.map(importKey));
}

async function importKey(secret: string): Promise<CryptoKey> {
  const key = secret.startsWith("whsec_") ? fromBase64(secret.slice(6)) : undefined;
  if (!key?.length) throw new ConfigurationError("a secret is whsec_ and 24 to 64 bytes as base64");
  return crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
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
