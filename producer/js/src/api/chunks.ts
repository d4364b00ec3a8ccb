/** Cuts jobs into requests. */

import { ApiError, InvalidJob } from "../errors.js";
import { wireId } from "./ids.js";
import type { ImageRef } from "./types.js";

const MAX_JOBS = 500;
const MAX_CHARS = 1_000_000; // at most three bytes each: far below the API's limit

/** The body of a request that enqueues several images. */
export interface Chunk {
  body: string;
  jobs: number;
}

/**
 * Yields the bodies of requests with at most 500 jobs and 1,000,000 characters each. Reads the jobs one after another.
 *
 * @throws InvalidJob if an id cannot be used.
 */
export async function* chunksOf(
  jobs: Iterable<readonly [ImageRef, string]> | AsyncIterable<readonly [ImageRef, string]>,
  force: boolean,
): AsyncGenerator<Chunk> {
  let parts: string[] = [];
  let chars = 0;
  let number = 0;
  for await (const [image, url] of jobs) {
    const part = JSON.stringify({ id: idOf(image, number), url, ...(force && { force }) });
    number += 1;
    if (parts.length === MAX_JOBS || (parts.length > 0 && chars + part.length > MAX_CHARS)) {
      yield chunk(parts);
      [parts, chars] = [[], 0];
    }
    parts.push(part);
    chars += part.length;
  }
  if (parts.length > 0) yield chunk(parts);
}

/** Returns an error that numbers the image as the caller does: the API counts within one request. */
export function renumbered(error: unknown, before: number): unknown {
  const { param } = error instanceof ApiError ? error : {};
  const number = /^images\[(\d+)\]/.exec(param ?? "")?.[1];
  if (!(error instanceof ApiError) || param === undefined || number === undefined) return error;
  const there = param.replace(number, String(Number(number) + before));
  return new ApiError(error.message.replace(param, there), { ...error, param: there });
}

function chunk(parts: string[]): Chunk {
  return { body: `{"images":[${parts.join(",")}]}`, jobs: parts.length };
}

function idOf(image: ImageRef, number: number): unknown {
  try {
    return wireId(image);
  } catch (error) {
    throw error instanceof InvalidJob ? new InvalidJob(`images[${number}].id: ${error.message}`) : error;
  }
}
