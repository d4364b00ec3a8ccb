/** Divides many jobs into chunks, each of which is one command. */

import type { Job } from "./job.js";
import { InvalidJob } from "../errors.js";

// Enough to hide the round trip, and few enough not to block Redis for others. Upstash takes 10 MB in one request.
const MAX_JOBS = 500;
const MAX_BYTES = 1_000_000;

/**
 * Yield the messages of the jobs in chunks of at most 500 messages and 1 MB. The jobs are read lazily.
 *
 * @param toMessage Returns the message of a job, which is ASCII.
 * @param signal Ends the reading at the next job, with its reason.
 * @throws {InvalidJob} `jobs` cannot be iterated over, or one of them is not a pair.
 */
export async function* chunksOf(
  jobs: Iterable<Job> | AsyncIterable<Job>,
  toMessage: (imageId: unknown, url: unknown) => string,
  signal: AbortSignal,
): AsyncGenerator<string[], void, void> {
  let chunk: string[] = [];
  let bytes = 0;
  for await (const job of iterable(jobs)) {
    signal.throwIfAborted(); // a slow source may take minutes to fill a chunk
    const message = toMessage(...pair(job));
    if (chunk.length === MAX_JOBS || (chunk.length > 0 && bytes + message.length > MAX_BYTES)) {
      yield chunk;
      [chunk, bytes] = [[], 0];
    }
    chunk.push(message);
    bytes += message.length;
  }
  if (chunk.length > 0) {
    yield chunk;
  }
}

function iterable(jobs: unknown): Iterable<unknown> | AsyncIterable<unknown> {
  if (typeof jobs !== "object" || jobs === null || !(Symbol.asyncIterator in jobs || Symbol.iterator in jobs)) {
    throw new InvalidJob("jobs must be an iterable or async iterable of pairs [imageId, url]");
  }
  return jobs as Iterable<unknown> | AsyncIterable<unknown>;
}

function pair(job: unknown): readonly [unknown, unknown] {
  if (!Array.isArray(job) || job.length !== 2) {
    throw new InvalidJob("each job must be a pair [imageId, url]");
  }
  return [job[0], job[1]];
}
