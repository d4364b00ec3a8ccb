/** Jobs as the HTTP API takes them. */

import { checkUrl } from "../contract/urls.js";
import { InvalidJob } from "../errors.js";
import { wireId } from "./ids.js";
import type { ImageRef } from "./types.js";

/** Pairs of an image and its URL. */
export type ImageJobs = Iterable<ImageJob> | AsyncIterable<ImageJob>;

/** An image and its URL. */
export type ImageJob = readonly [image: ImageRef, url: string];

/**
 * Return a job as JSON has it.
 *
 * @throws {InvalidJob} The id or the URL cannot be used.
 */
export function wireJob(image: ImageRef, url: unknown, force: boolean): object {
  checkUrl(url);
  return { id: wireId(image), url, force };
}

/** Return a function that does the same for one job after another; its errors say which one cannot be used. */
export function numberedJobs(force: boolean): (image: unknown, url: unknown) => object {
  let number = 0;
  return (image, url) => {
    try {
      const job = wireJob(image as ImageRef, url, force);
      number += 1;
      return job;
    } catch (error) {
      throw error instanceof InvalidJob ? new InvalidJob(`jobs[${number}]: ${error.message}`) : error;
    }
  };
}
