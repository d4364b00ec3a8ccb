/** A search as JSON has it. */

import { InvalidJob } from "../errors.js";
import { wireId } from "./ids.js";
import { imageText } from "./images.js";
import type { ImageRef, ImageSource, ImageWithId, NotLike, SearchRequest } from "./types.js";

type Fields = { [Name in keyof SearchRequest]-?: (value: NonNullable<SearchRequest[Name]>) => unknown };

const MAX_DEPTH = 20; // the API takes four
const same = (value: unknown): unknown => value;

// The API ignores fields that it does not know. A search without its filter is worse than an error.
const FIELDS: Fields = {
  text: same,
  image: wireImage,
  like: (like) => (isList(like) ? like.map(wireId) : wireId(like)),
  not: (not) => (isList(not) ? not.map(wireNot) : wireNot(not)),
  weights: same,
  filter: (filter) => filterValue(filter, "filter", 0),
  limit: same,
  cursor: same,
  min_score: same,
  within: same,
  dedupe: same,
  exact: same,
  fields: same,
  model: same,
};

/**
 * Return the JSON of a search.
 *
 * @throws {InvalidJob} A part of it would be lost in JSON: an unknown field, an undefined value in the filter, NaN.
 */
export async function searchBody(request: SearchRequest): Promise<string> {
  if (typeof request !== "object" || request === null) {
    throw new InvalidJob('a search is an object, such as { text: "a red bicycle" }');
  }
  const body: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(request)) {
    if (!Object.hasOwn(FIELDS, name)) throw new InvalidJob(`a search has no field ${JSON.stringify(name)}`);
    if (value === undefined || value === null) continue;
    if (typeof value === "number" && !Number.isFinite(value)) throw new InvalidJob(`${name} is ${value}`);
    body[name] = await FIELDS[name as keyof SearchRequest](value as never);
  }
  return JSON.stringify(body);
}

function wireImage(image: ImageSource | ImageWithId): unknown {
  return typeof image === "object" && "id" in image ? { id: wireId(image) } : imageText(image);
}

function wireNot(not: NotLike): unknown {
  return typeof not === "string" ? not : { id: wireId(not) };
}

/** Return a part of a filter as JSON has it: dates and ObjectIds as MongoDB's extended JSON. */
function filterValue(value: unknown, path: string, depth: number): unknown {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  // Not by `instanceof`: an edge runtime may have several of each class.
  const kind = Object.prototype.toString.call(value);
  if (kind === "[object Date]") return { $date: dateText(value as Date, path) };
  if (depth > MAX_DEPTH) throw new InvalidJob(`${path} is nested too deeply`);
  if (Array.isArray(value)) return value.map((one, index) => filterValue(one, `${path}[${index}]`, depth + 1));
  if (kind === "[object Object]") return filterObject(value as object, path, depth);
  // JSON would leave it out, and a search without a comparison finds the images of everyone.
  throw new InvalidJob(`${path} is ${typeof value === "number" ? value : kind.slice(8, -1)}, which JSON does not have`);
}

function filterObject(value: object, path: string, depth: number): unknown {
  if ("toHexString" in value) return wireId(value as ImageRef);
  const entries = Object.entries(value);
  return Object.fromEntries(entries.map(([name, one]) => [name, filterValue(one, `${path}.${name}`, depth + 1)]));
}

function dateText(date: Date, path: string): string {
  if (Number.isNaN(date.getTime())) throw new InvalidJob(`${path} is an invalid date`);
  return date.toISOString();
}

function isList<T>(value: T | readonly T[]): value is readonly T[] {
  return Array.isArray(value);
}
