/** A job, and its keyword arguments in a message. */

import { InvalidJob } from "../errors.js";
import { enqueueClock } from "./clock.js";
import { asciiJson, checkText, countCharacters, firstCharacters, readableJson } from "./text.js";
import { checkUrl, redactText, redactUrl } from "./urls.js";

const MAX_ID_CHARS = 1024;
const MAX_DESCRIPTION_CHARS = 4096;
const HEX24 = /^[0-9a-f]{24}$/;
const CONTROL = /[\x00-\x1f\x7f-\x9f]/;

/** The `_id` of a document: a string, MongoDB's extended JSON, or an `ObjectId` of the package bson or mongoose. */
export type ImageId = string | { readonly $oid: string } | { toHexString(): string };

/** An image's id and its URL. */
export type Job = readonly [imageId: ImageId, url: string];

/** Options of a call that enqueues. */
export interface EnqueueOptions {
  /** Embed again even if the document already has this model's vector for this URL. */
  readonly force?: boolean | undefined;
  /** Ends the call; it then throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** A job that was checked. */
export interface CheckedJob {
  readonly imageId: string | { readonly $oid: string };
  readonly url: string;
  /** When it was enqueued, in milliseconds since the epoch. */
  readonly enqueuedAtMs: number;
  readonly force: boolean;
}

const nextMs = /* @__PURE__ */ enqueueClock(Date.now);

/**
 * Return a job that is enqueued now. It wins over every earlier job of this process for the same image.
 *
 * @throws {InvalidJob} The id or the URL cannot be used.
 */
export function newJob(imageId: unknown, url: unknown, force: boolean): CheckedJob {
  const id = parseImageId(imageId);
  checkUrl(url);
  const enqueuedAtMs = nextMs((typeof id === "string" ? id : id.$oid).toLowerCase());
  return { imageId: id, url, enqueuedAtMs, force };
}

/** Return the keyword arguments of the message: compact JSON in ASCII. */
export function argumentsJson({ imageId, url, enqueuedAtMs, force }: CheckedJob): string {
  const id = typeof imageId === "string" ? asciiJson(imageId) : `{"$oid":"${imageId.$oid}"}`;
  return `{"image_id":${id},"url":${asciiJson(url)},"enqueued_at":${enqueuedAtMs}${force ? ',"force":true' : ""}}`;
}

/** Return the keyword arguments as JSON for Flower and logs, without the URL's query and fragment. */
export function describeJob({ imageId, url, enqueuedAtMs, force }: CheckedJob): string {
  const id = typeof imageId === "string" ? readableJson(redactText(imageId)) : `{"$oid":"${imageId.$oid}"}`;
  const shownUrl = readableJson(redactUrl(url));
  // Flower's search by arguments reads the text as a Python literal, which has no `true`.
  const text = `{"image_id":${id},"url":${shownUrl},"enqueued_at":${enqueuedAtMs}${force ? ',"force":1' : ""}}`;
  return firstCharacters(text, MAX_DESCRIPTION_CHARS);
}

/**
 * Read an id: a string, `{$oid: "<24 hex>"}`, or anything with `toHexString()`.
 *
 * @throws {InvalidJob} It has another type, is empty, has more than 1,024 characters, or contains a control character.
 */
export function parseImageId(value: unknown): CheckedJob["imageId"] {
  const oid = objectIdOf(value);
  if (oid !== undefined) {
    if (!HEX24.test(oid)) {
      throw new InvalidJob("an ObjectId has exactly 24 hex digits");
    }
    return { $oid: oid };
  }
  if (typeof value !== "string") {
    throw new InvalidJob(
      'image_id must be a string, an integer, {"$oid": "<24 hex digits>"} or {"$uuid": "<36 characters>"}',
    );
  }
  checkTextId(value);
  return value;
}

function objectIdOf(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) {
    return undefined;
  }
  if ("toHexString" in value && typeof value.toHexString === "function") {
    return String(value.toHexString()).toLowerCase();
  }
  const isExtendedJson = "$oid" in value && typeof value.$oid === "string" && Object.keys(value).length === 1;
  return isExtendedJson ? String(value.$oid).toLowerCase() : undefined;
}

function checkTextId(imageId: string): void {
  if (!imageId) {
    throw new InvalidJob("image_id is empty; give the _id of the document that should get the vector");
  }
  const characters = imageId.length > MAX_ID_CHARS ? countCharacters(imageId) : 0;
  if (characters > MAX_ID_CHARS) {
    throw new InvalidJob(`image_id has ${characters} characters; at most ${MAX_ID_CHARS} are allowed`);
  }
  checkText("image_id", imageId);
  if (CONTROL.test(imageId)) {
    throw new InvalidJob("image_id contains a control character");
  }
}
