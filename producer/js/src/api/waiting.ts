/** Waits for the end of a job. */

import { ApiUnavailable } from "../errors.js";
import { pause } from "../deadline.js";
import type { ImageState } from "./types.js";

/** Asks for the state of an image, and lets the API hold its answer for so many seconds, or until the job has ended. */
export type AskState = (waitS: number, leftMs: number) => Promise<ImageState | undefined>;

const MAX_WAIT_S = 20; // proxies end a request without an answer after 30 s or more
const MARGIN_MS = 200;
const [MIN_PAUSE_MS, MAX_PAUSE_MS] = [250, 1000];

/**
 * Return the state of an image as soon as its job has ended. When the time is over, return what the API answered
 * last: `pending`, or undefined if it does not know the image.
 *
 * @throws {ApiUnavailable} The API has not answered at all.
 */
export async function waitForEnd(
  ask: AskState,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<ImageState | undefined> {
  const until = Date.now() + timeoutMs;
  for (let last: { state: ImageState | undefined } | undefined; ; ) {
    const asked = Date.now();
    const waitS = Math.max(0, Math.min(MAX_WAIT_S, Math.floor((until - asked - MARGIN_MS) / 1000)));
    try {
      last = { state: await ask(waitS, until - asked) };
    } catch (error) {
      if (last === undefined || !(error instanceof ApiUnavailable)) throw error;
    }
    if (last.state !== undefined && last.state.status !== "pending") return last.state;
    // The API answers at once if it does not know the image, or if too many wait.
    const pauseMs = Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, asked + 1000 * waitS - Date.now()));
    if (Date.now() + pauseMs >= until) return last.state;
    await pause(pauseMs, signal);
  }
}
