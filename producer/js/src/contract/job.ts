/** A job, and its keyword arguments in a message. */

import { enqueueClock } from "./clock.js";
import { type ImageId, parseImageId, textOf, type WireId } from "./ids.js";
import { asciiJson, firstCharacters, readableJson } from "./text.js";
import { type Trace, traceJson } from "./trace.js";
import { checkUrl, redactText, redactUrl } from "./urls.js";

const MAX_DESCRIPTION_CHARS = 4096;

/** An image's id and its URL. */
export type Job = readonly [imageId: ImageId, url: string];

/** Options of a call that enqueues. */
export interface EnqueueOptions {
  /** Embed again even if the document already has this model's vector for this URL. */
  readonly force?: boolean | undefined;
  /** The trace that the job belongs to. */
  readonly trace?: Trace | undefined;
  /** Ends the call; it then throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** A job that was checked. */
export interface CheckedJob {
  readonly imageId: WireId;
  readonly url: string;
  /** When it was enqueued, in milliseconds since the epoch. */
  readonly enqueuedAtMs: number;
  readonly force: boolean;
  /** The headers of its trace, as members of a JSON object. */
  readonly trace: string;
}

const nextMs = /* @__PURE__ */ enqueueClock(Date.now);

/**
 * Return a job that is enqueued now. It wins over every earlier job of this process for the same image.
 *
 * @throws {InvalidJob} The id, the URL or the trace cannot be used.
 */
export function newJob(imageId: unknown, url: unknown, { force = false, trace }: EnqueueOptions): CheckedJob {
  const id = parseImageId(imageId);
  checkUrl(url);
  const enqueuedAtMs = nextMs(textOf(id).toLowerCase());
  return { imageId: id, url, enqueuedAtMs, force, trace: traceJson(trace) };
}

/** Return the keyword arguments of the message: compact JSON in ASCII. */
export function argumentsJson({ imageId, url, enqueuedAtMs, force }: CheckedJob): string {
  const id = typeof imageId === "string" ? asciiJson(imageId) : JSON.stringify(imageId);
  return `{"image_id":${id},"url":${asciiJson(url)},"enqueued_at":${enqueuedAtMs}${force ? ',"force":true' : ""}}`;
}

/** Return the keyword arguments as JSON for Flower and logs, without the URL's query and fragment. */
export function describeJob({ imageId, url, enqueuedAtMs, force }: CheckedJob): string {
  const id = describeId(imageId);
  const shownUrl = readableJson(redactUrl(url));
  // Flower's search by arguments reads the text as a Python literal, which has no `true`.
  const text = `{"image_id":${id},"url":${shownUrl},"enqueued_at":${enqueuedAtMs}${force ? ',"force":1' : ""}}`;
  return firstCharacters(text, MAX_DESCRIPTION_CHARS);
}

function describeId(id: WireId): string {
  if (typeof id === "string") return readableJson(redactText(id));
  return "$numberLong" in id ? id.$numberLong : JSON.stringify(id);
}
