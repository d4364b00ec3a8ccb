/** Waits for the end of a job. */

import { pause } from "./deadline.js";
import type { ImageState } from "./types.js";

/** Asks for the state of an image, and lets the API hold its answer for so many seconds, or until the job has ended. */
export type AskState = (waitS: number, leftMs: number) => Promise<ImageState | undefined>;

const MAX_WAIT_S = 20; // proxies end a request without an answer after 30 s or more
const MARGIN_MS = 200;
const [MIN_PAUSE_MS, MAX_PAUSE_MS] = [250, 1000];

/** Returns the state of an image as soon as its job has ended, or when the time is over; undefined if it is unknown. */
export async function waitForEnd(
  ask: AskState,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<ImageState | undefined> {
  const until = Date.now() + timeoutMs;
  for (;;) {
    const asked = Date.now();
    const waitS = Math.max(0, Math.min(MAX_WAIT_S, Math.floor((until - asked - MARGIN_MS) / 1000)));
    const state = await ask(waitS, until - asked);
    if (state !== undefined && state.status !== "pending") return state;
    // The API answers at once if it does not know the image, or if too many wait.
    const pauseMs = Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, asked + 1000 * waitS - Date.now()));
    if (Date.now() + pauseMs >= until) return state;
    await pause(pauseMs, signal);
  }
}
