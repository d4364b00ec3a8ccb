export { BrokerUnavailable, ClipqueueError, ConfigurationError, InvalidJob } from "./errors.js";
export type { ImageId, Job } from "./contract/job.js";
export { type ClientOptions, EmbeddingClient, type EnqueueOptions } from "./queue/client.js";
export type { RedisClient } from "./queue/clients.js";
export type { Connection } from "./queue/connection.js";
export type { Environment } from "./queue/environment.js";
export type { UpstashRest } from "./queue/rest.js";
