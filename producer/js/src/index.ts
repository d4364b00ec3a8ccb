export { ClipqueueApi } from "./api/client.js";
export type { CallOptions, EmbedOptions, StateOptions, WaitOptions } from "./api/options.js";
export type { ImageJob, ImageJobs } from "./api/jobs.js";
export type { ApiEnv, ApiOptions, Fetch } from "./api/settings.js";
export type {
  DoneImage,
  EnqueuedImage,
  FailedImage,
  Hit,
  ImageBytes,
  ImageFailure,
  ImageRef,
  ImageSource,
  ImageState,
  ImageWithId,
  LiveModel,
  NotLike,
  PendingImage,
  SearchPage,
  SearchRequest,
  SearchWeights,
  UploadedImage,
} from "./api/types.js";
export {
  ApiError,
  type ApiFailure,
  ApiUnavailable,
  BrokerUnavailable,
  ClipqueueError,
  ConfigurationError,
  InvalidJob,
  InvalidWebhook,
} from "./errors.js";
export type { ImageId, WireId } from "./contract/ids.js";
export type { EnqueueOptions, Job } from "./contract/job.js";
export type { Trace } from "./contract/trace.js";
export { type ClientOptions, EmbeddingClient } from "./queue/client.js";
export type { RedisClient } from "./queue/clients.js";
export type { Connection } from "./queue/connection.js";
export type { Environment } from "./queue/environment.js";
export type { UpstashRest } from "./queue/rest.js";
export {
  type ImageDone,
  type ImageFailed,
  verifyWebhook,
  type WebhookEvent,
  type WebhookHeaders,
  type WebhookOptions,
} from "./webhooks.js";
