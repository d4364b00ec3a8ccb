/** Ends a call or a pause after some time, or when its caller aborts it. */

/** The most milliseconds that a timer of JavaScript can wait. */
const MAX_TIMEOUT_MS = 2_147_483_647;

/** Return whether a number is a time that a timer can wait. */
export function isTimeout(value: unknown): value is number {
  return typeof value === "number" && value > 0 && value <= MAX_TIMEOUT_MS;
}

/**
 * Return what `work` returns, unless it takes too long.
 *
 * `work` may go on when the call has ended; what it then returns or throws is ignored.
 *
 * @param timeoutMs The most milliseconds to wait; 0 if only the signal ends the call.
 * @param late Returns the error of a call that took too long.
 * @param outer The caller's signal; the call then ends with the signal's reason.
 */
export async function within<T>(
  timeoutMs: number,
  late: () => Error,
  outer: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
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
