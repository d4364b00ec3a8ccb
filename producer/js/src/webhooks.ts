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

/**
 * Checks that clipqueue sent a webhook, and returns its event.
 *
 * @param body - The raw body, as it arrived. A parsed and printed body has another signature.
 * @param headers - The request's headers.
 * @param secret - `CLIPQUEUE_WEBHOOK_SECRET`; several, as an array or with spaces, while they are changed.
 * @param options - `toleranceS`: how old the webhook may be in seconds, and how far ahead its clock; by default 300.
 * @throws InvalidWebhook if the signature, the time or the event is wrong: answer 401.
 * @throws ConfigurationError if the secret or the body cannot be used.
 */
export async function verifyWebhook(
  body: string | Uint8Array,
  headers: WebhookHeaders,
  secret: string | readonly string[],
  { toleranceS = 300 }: { toleranceS?: number } = {},
): Promise<WebhookEvent> {
  const keys = (typeof secret === "string" ? [secret] : secret).flatMap((text) => text.split(/\s+/)).filter(Boolean);
  if (keys.length === 0) throw new ConfigurationError("there is no secret: pass CLIPQUEUE_WEBHOOK_SECRET");
  const bytes = bytesOf(body);
  const id = header(headers, "webhook-id");
  const timestamp = header(headers, "webhook-timestamp");
  const signatures = header(headers, "webhook-signature").split(" ");
  checkTime(timestamp, toleranceS);
  const signed = new Uint8Array([...new TextEncoder().encode(`${id}.${timestamp}.`), ...bytes]);
  for (const text of keys) {
    const key = await importKey(text);
    for (const signature of signatures) {
      const expected = signature.startsWith("v1,") ? fromBase64(signature.slice(3)) : undefined;
      if (expected && (await crypto.subtle.verify("HMAC", key, expected, signed))) return parse(bytes);
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

function checkTime(timestamp: string, toleranceS: number): void {
  if (!/^\d{1,15}$/.test(timestamp)) throw new InvalidWebhook("webhook-timestamp is not a number of seconds");
  const aheadS = Number(timestamp) - Date.now() / 1000;
  if (Math.abs(aheadS) > toleranceS) {
    const seconds = `${Math.round(Math.abs(aheadS))} s ${aheadS < 0 ? "old" : "ahead of this clock"}`;
    throw new InvalidWebhook(`the webhook is ${seconds}; at most ${toleranceS} s are allowed`);
  }
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
