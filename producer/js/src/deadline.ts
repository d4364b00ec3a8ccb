/** Ends a call or a pause after some time, or when its caller aborts it. */

import { ConfigurationError } from "./errors.js";

/** The most milliseconds that a timer of JavaScript can wait. */
const MAX_TIMEOUT_MS = 2_147_483_647;

/**
 * Return a time in milliseconds; the default if none is given.
 *
 * @throws {ConfigurationError} No timer can wait so long.
 */
export function checkedTimeout(ms: unknown, byDefault: number): number {
  if (ms === undefined) return byDefault;
  if (typeof ms === "number" && ms > 0 && ms <= MAX_TIMEOUT_MS) return ms;
  throw new ConfigurationError(`timeoutMs must be a number of milliseconds above 0, at most ${MAX_TIMEOUT_MS}`);
}

/**
 * Return what `work` returns, unless it takes too long.
 *
 * `work` may go on when the call has ended; what it then returns or throws is ignored.
 *
 * @param outer The caller's signal; the call then ends with the signal's reason.
 * @param timeoutMs The most milliseconds to wait; without it, only the signal ends the call.
 * @param late Returns the error of a call that took too long.
 */
export async function within<T>(
  outer: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
  timeoutMs = 0,
  late: () => Error = Error,
): Promise<T> {
  outer?.throwIfAborted();
  const controller = new AbortController();
  const { signal } = controller;
  const timer = timeoutMs && setTimeout(() => controller.abort(late()), timeoutMs);
  const abort = (): void => controller.abort(outer?.reason);
  outer?.addEventListener("abort", abort);
  try {
    return await Promise.race([ended(signal), work(signal)]);
  } finally {
    clearTimeout(timer);
    outer?.removeEventListener("abort", abort);
  }
}

function ended(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
}

/** Wait some milliseconds, or throw the signal's reason as soon as it aborts. */
export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", abort, { once: true });
  });
}
