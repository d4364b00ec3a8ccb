/**
 * The errors of this package. They have the names of the Python client's, and each message says what to do.
 *
 * ClipqueueError
 * ├── InvalidJob            the id or the URL cannot be used; the job was not enqueued
 * ├── ConfigurationError    an option or a variable is missing or cannot be used
 * ├── BrokerUnavailable     Redis did not accept the job
 * ├── ApiError              the HTTP API refused the request
 * ├── ApiUnavailable        the HTTP API did not answer
 * └── InvalidWebhook        the signature or the time of a webhook is wrong
 */

/** Base class of all errors below. Never thrown itself. */
export class ClipqueueError extends Error {
  // Not constructor.name, which bundlers shorten.
  override readonly name: string = "ClipqueueError";
}

/** The job cannot be run. The message says what to change. */
export class InvalidJob extends ClipqueueError {
  override readonly name = "InvalidJob";
}

/** An option or a variable is missing or cannot be used. The message says which. */
export class ConfigurationError extends ClipqueueError {
  override readonly name = "ConfigurationError";
}

/** Redis could not be reached or refused the job. The message names the host, never the password. */
export class BrokerUnavailable extends ClipqueueError {
  override readonly name = "BrokerUnavailable";
}

/** The HTTP API, or a proxy in front of it, refused the request. The message says what was wrong with which part. */
export class ApiError extends ClipqueueError {
  override readonly name = "ApiError";
  /** The HTTP status, such as 404. */
  readonly status: number;
  /** A word that programs can compare, such as `model_not_found`; undefined if a proxy answered. */
  readonly code: string | undefined;
  /** The part of the request that is wrong, such as `images[3].url`. */
  readonly param: string | undefined;
  /** The id of the request, which is in the log of the API too. */
  readonly requestId: string | undefined;
  /** After how many milliseconds the request may be sent again; undefined if the answer did not say. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, answer: ApiFailure) {
    super(message);
    this.status = answer.status;
    this.code = answer.code;
    this.param = answer.param;
    this.requestId = answer.requestId;
    this.retryAfterMs = answer.retryAfterMs;
  }
}

/** What an answer of the HTTP API says about a failure. */
export interface ApiFailure {
  status: number;
  code?: string | undefined;
  param?: string | undefined;
  requestId?: string | undefined;
  retryAfterMs?: number | undefined;
}

/** The HTTP API could not be reached, or did not answer in time. */
export class ApiUnavailable extends ClipqueueError {
  override readonly name = "ApiUnavailable";
  /** The host and port of the API. */
  readonly host: string;

  constructor(message: string, host: string) {
    super(message);
    this.host = host;
  }
}

/** The signature or the time of a webhook is wrong, or a header is missing. The message says which. */
export class InvalidWebhook extends ClipqueueError {
  override readonly name = "InvalidWebhook";
}
