export { BrokerUnavailable, ClipqueueError, ConfigurationError, InvalidJob } from "./errors.js";
export { InvalidWebhook } from "./errors.js";
export { type ImageDone, type ImageFailed, verifyWebhook, type WebhookEvent, type WebhookHeaders } from "./webhooks.js";
