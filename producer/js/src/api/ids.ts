/** Image ids: how they travel in JSON and in a path. */

import { parseImageId, textOf, type WireId } from "../contract/ids.js";
import { InvalidJob } from "../errors.js";
import type { ImageRef } from "./types.js";

/** The key of extended JSON for each type that the API names. */
const KEYS = { oid: "$oid", int: "$numberLong", uuid: "$uuid" } as const;

/**
 * Return an id as JSON has it.
 *
 * @throws {InvalidJob} It is no id.
 */
export function wireId(image: ImageRef): WireId {
  const isObject = typeof image === "object" && image !== null && !("toHexString" in image);
  // A document has an `_id`. Its `id` may be another field, or Mongoose's text of an ObjectId.
  if (isObject && "id" in image && !("_id" in image)) {
    return parseImageId(image.type ? { [KEYS[image.type]]: image.id } : image.id);
  }
  return parseImageId(image);
}

/**
 * Return the path of an image. A slash in the id is encoded too, so that no client resolves a `..` beside it.
 *
 * @throws {InvalidJob} It is no id, or it is `.` or `..`, which every client resolves even if they are encoded.
 */
export function imagePath(image: ImageRef, query: Record<string, string | undefined>): string {
  const id = wireId(image);
  const parts = { type: typeOf(id), ...query };
  if (id === "." || id === "..") throw new InvalidJob(`the id "${id}" cannot be a part of a URL's path`);
  const given = Object.entries(parts).filter(([, value]) => value !== undefined);
  const search = given.map(([name, value]) => `${name}=${value}`).join("&");
  return `/v1/images/${encodeURIComponent(textOf(id))}${search && `?${search}`}`;
}

function typeOf(id: WireId): string | undefined {
  return typeof id === "string" ? undefined : Object.entries(KEYS).find(([, key]) => key in id)?.[0];
}
