/** The options of the client's methods. */

/** Options of every call. */
export interface CallOptions {
  /** If it aborts, the call rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of a call that embeds. */
export interface EmbedOptions extends CallOptions {
  /** A name that `models()` lists; by default, the only live model. */
  readonly model?: string | undefined;
}

/** Options of a call that returns the state of an image. */
export interface StateOptions extends CallOptions {
  /** Add the vector, if there is one. */
  readonly vector?: boolean | undefined;
}

/** Options of `waitFor`. */
export interface WaitOptions extends StateOptions {
  /** The most that it may take, in milliseconds; 60,000 by default. */
  readonly timeoutMs?: number | undefined;
}
