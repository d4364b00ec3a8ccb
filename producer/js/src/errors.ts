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

/** The signature or the time of a webhook is wrong, or a header is missing. The message says which. */
export class InvalidWebhook extends ClipqueueError {
  override readonly name = "InvalidWebhook";
}
