/** The times of the jobs that one process enqueues. They order the jobs of one image. */

// A clock that is set back by more was wrong before, so its earlier times are forgotten.
const MAX_STEP_BACK_MS = 10_000;

/**
 * Return a function that gives each job its time, by the id of its image.
 *
 * Of two jobs for one image, the later one always has the later time: within one millisecond, and if the system's clock
 * is set back by up to 10 s. Jobs for two images may have the same time.
 *
 * @param nowMs Returns the system's time in milliseconds since the epoch.
 */
export function enqueueClock(nowMs: () => number): (image: string) => number {
  let latestMs = 0;
  // The last time of each image, if it is not in the past.
  let times = new Map<string, number>();

  function advance(): number {
    const now = nowMs();
    if (now < latestMs - MAX_STEP_BACK_MS) {
      times = new Map();
      latestMs = now;
    } else if (now > latestMs) {
      times = new Map([...times].filter(([, atMs]) => atMs >= now));
      latestMs = now;
    }
    return latestMs;
  }

  return (image) => {
    const atMs = Math.max(advance(), (times.get(image) ?? -1) + 1);
    times.set(image, atMs);
    return atMs;
  };
}
