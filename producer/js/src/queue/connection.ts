/** How jobs reach Redis. */

/** Sends LPUSH commands to one Redis. `redisOverTcp` of `clipqueue/workers` makes one. */
export interface Connection {
  /** What errors call this Redis. It must not contain a password. */
  readonly host: string;
  /** Texts that no error may repeat, such as a password. */
  readonly secrets?: readonly string[];
  /** Return what is known if Redis does not answer, such as `the client is reconnecting`; else an empty text. */
  state?(): string;
  /**
   * Push values on a list with one command, and return the list's length.
   *
   * @param signal Aborted when the caller waits no longer.
   */
  lpush(key: string, values: string[], signal: AbortSignal): Promise<number>;
}

/** An error whose text is ours: it says what to do, and is shown as it is. */
export class Refusal extends Error {}
