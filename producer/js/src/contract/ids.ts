/** The id of an image, which is the `_id` of its document: its types, and MongoDB's extended JSON for them. */

import { InvalidJob } from "../errors.js";
import { checkText, countCharacters } from "./text.js";

/** An id as a message has it. */
export type WireId = string | { readonly $oid: string } | { readonly $numberLong: string } | { readonly $uuid: string };

/**
 * The `_id` of a document: a string, a number or bigint, extended JSON, or a value of the package bson or of mongoose: an
 * `ObjectId`, a `UUID`, a `Long` or an `Int32`. A number must be whole, and at most 2^53 - 1.
 */
export type ImageId = WireId | number | bigint | { toHexString(): string } | { readonly _bsontype: "Long" | "Int32" };

const MAX_ID_CHARS = 1024;
const HEX24 = /^[0-9a-f]{24}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const INTEGER = /^(0|-?[1-9]\d{0,18})$/;
const BASE64_OF_UUID = /^[A-Za-z0-9+/]{22}==$/;
const CONTROL = /[\x00-\x1f\x7f-\x9f]/;

/**
 * Read an id, and return it as a message has it.
 *
 * @throws {InvalidJob} It has another type, is an integer beyond 64 bits, or is a string that is empty, has more than
 *   1,024 characters, or contains a control character.
 */
export function parseImageId(value: unknown): WireId {
  if (typeof value === "string") {
    checkTextId(value);
    return value;
  }
  const id = typeof value === "object" && value !== null ? idOfObject(value) : idOfNumber(value);
  if (id === undefined) {
    throw new InvalidJob(
      'image_id must be a string, an integer, {"$oid": "<24 hex digits>"} or {"$uuid": "<36 characters>"}',
    );
  }
  return id;
}

/** Return the text of an id, without its type. */
export function textOf(id: WireId): string {
  return typeof id === "string" ? id : String(Object.values(id)[0]);
}

function idOfNumber(value: unknown): WireId | undefined {
  if (typeof value === "bigint") return integer(String(value));
  if (!Number.isInteger(value)) return undefined;
  if (!Number.isSafeInteger(value)) {
    throw new InvalidJob('image_id is a number beyond 2^53, which may be rounded: give it as {"$numberLong": "..."}');
  }
  return integer(String(value));
}

function idOfObject(value: object): WireId | undefined {
  if ("toHexString" in value && typeof value.toHexString === "function") {
    const hex = String(value.toHexString()).toLowerCase();
    return UUID.test(hex) ? { $uuid: hex } : objectId(hex);
  }
  if ("_bsontype" in value) {
    return value._bsontype === "Long" || value._bsontype === "Int32" ? integer(String(value)) : undefined;
  }
  const [[name, content] = [], ...others] = Object.entries(value);
  return others.length === 0 ? idOfExtendedJson(name, content) : undefined;
}

function idOfExtendedJson(name: string | undefined, content: unknown): WireId | undefined {
  if (name === "$binary") return idOfBinary(content);
  if (typeof content !== "string") return undefined;
  if (name === "$oid") return objectId(content.toLowerCase());
  if (name === "$numberLong" || name === "$numberInt") return integer(content);
  return name === "$uuid" ? uuid(content.toLowerCase()) : undefined;
}

function objectId(hex: string): WireId {
  if (!HEX24.test(hex)) throw new InvalidJob("an ObjectId has exactly 24 hex digits");
  return { $oid: hex };
}

function integer(text: string): WireId {
  if (!INTEGER.test(text) || BigInt.asIntN(64, BigInt(text)) !== BigInt(text)) {
    throw new InvalidJob("an integer image_id is a whole number within 64 bits, without leading zeros");
  }
  return { $numberLong: text };
}

function uuid(text: string): WireId {
  if (!UUID.test(text)) {
    throw new InvalidJob("a UUID has 32 hex digits in groups of 8, 4, 4, 4 and 12, with hyphens between them");
  }
  return { $uuid: text };
}

/** Return the UUID that mongoexport wrote as bytes; undefined for other bytes. */
function idOfBinary(content: unknown): WireId | undefined {
  const { base64, subType, ...others } = Object(content) as Record<string, unknown>;
  const isUuid = typeof base64 === "string" && BASE64_OF_UUID.test(base64) && subType === "04";
  if (!isUuid || Object.keys(others).length > 0) return undefined;
  const hex = Array.from(atob(base64), (char) => char.charCodeAt(0).toString(16).padStart(2, "0")).join("");
  return { $uuid: hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-") };
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
