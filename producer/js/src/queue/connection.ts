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

/** Return a URL, or undefined if the text is none. (`URL.parse` is too new for Node 20.) */
export function parseUrl(text: string): URL | undefined {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}

/** Return a setting without the white space and the quotes that people paste with it; empty if it is no text. */
export function unquoted(value: unknown): string {
  return typeof value === "string" ? value.trim().replace(/^(["'])(.*)\1$/, "$2").trim() : "";
}
