/** Image ids: how they travel in JSON and in a path. */

import { InvalidJob } from "../errors.js";
import type { ImageRef } from "./types.js";

/** The `_id` of a document: a string, or an ObjectId as `{$oid}` or as an object of the package bson. */
export type ImageId = string | { readonly $oid: string } | { toHexString(): string };

const MAX_CHARS = 1024;

/**
 * Returns an id as JSON has it.
 *
 * @throws InvalidJob if it is no id.
 */
export function wireId(image: ImageRef): string | { $oid: string } {
  const id = plainId(image);
  if (typeof id !== "string") return id;
  if (id === "") throw new InvalidJob("image_id is empty; give the _id of the document that should get the vector");
  if (id.length > MAX_CHARS && [...id].length > MAX_CHARS) {
    throw new InvalidJob(`image_id has ${[...id].length} characters; at most ${MAX_CHARS} are allowed`);
  }
  if (!id.isWellFormed()) throw new InvalidJob("image_id is not valid Unicode text (it has a lone surrogate)");
  if (/\p{Cc}/u.test(id)) throw new InvalidJob("image_id contains a control character");
  return id;
}

/**
 * Returns the path of an image. A slash in the id is encoded too, so that no client resolves a `..` beside it.
 *
 * @throws InvalidJob if the id cannot be a part of a path: `.` and `..` are resolved by every client, even encoded.
 */
export function imagePath(image: ImageRef, query: Record<string, string | undefined>): string {
  const id = wireId(image);
  const parts = { type: typeof id === "string" ? undefined : "oid", ...query };
  if (id === "." || id === "..") throw new InvalidJob(`the id "${id}" cannot be a part of a URL's path`);
  const given = Object.entries(parts).filter(([, value]) => value !== undefined);
  const search = given.map(([name, value]) => `${name}=${value}`).join("&");
  return `/v1/images/${encodeURIComponent(typeof id === "string" ? id : id.$oid)}${search && `?${search}`}`;
}

function plainId(image: ImageRef): string | { $oid: string } {
  if (typeof image === "string") return image;
  if (typeof image === "object" && image !== null) {
    if ("toHexString" in image) return oid(image.toHexString());
    if ("$oid" in image) return oid(image.$oid);
    // A document has an `_id`. Its `id` may be another field, or Mongoose's text of an ObjectId.
    if ("id" in image && !("_id" in image)) return image.type === "oid" ? oid(image.id) : plainId(image.id);
  }
  throw new InvalidJob('image_id must be a string or {"$oid": "<24 hex digits>"}');
}

function oid(digits: unknown): { $oid: string } {
  if (typeof digits === "string" && /^[0-9a-f]{24}$/i.test(digits)) return { $oid: digits.toLowerCase() };
  throw new InvalidJob("an ObjectId has exactly 24 hex digits");
}
