/** The client that a backend imports. It pushes jobs on Redis, and returns when Redis has accepted them. */

import { chunksOf } from "../contract/chunks.js";
import type { ImageId } from "../contract/ids.js";
import { type EnqueueOptions, type Job, newJob } from "../contract/job.js";
import { IMAGE_QUEUE, imageMessage } from "../contract/message.js";
import { checkedTimeout, within } from "../deadline.js";
import { BrokerUnavailable } from "../errors.js";
import { connectionOf, type RedisClient } from "./clients.js";
import type { Connection } from "./connection.js";
import { connectionFromEnvironment, type Environment } from "./environment.js";
import { reasonOf } from "./reasons.js";
import type { UpstashRest } from "./rest.js";

// A web request waits for it.
const TIMEOUT_MS = 2000;
const BULK = 5; // a chunk has up to 1 MB

/** Options of `EmbeddingClient`. */
export interface ClientOptions {
  /**
   * The most milliseconds that `enqueue` waits for Redis, all waits together; 2,000 by default. Each chunk of
   * `enqueueMany` has five times as long.
   */
  readonly timeoutMs?: number | undefined;
}

/**
 * Enqueues embedding jobs. Make one for the whole program, at module scope if the platform allows it.
 *
 * A job whose call took too long may still reach the queue. That is harmless, and so is enqueueing it again.
 */
export class EmbeddingClient {
  readonly #redis: Connection;
  readonly #timeoutMs: number;

  /**
   * @param redis A client of ioredis, redis (node-redis, connected) or @upstash/redis; `{url, token}` of Upstash's REST
   *   interface; or what `redisOverTcp` of `clipqueue/workers` returns.
   * @throws {ConfigurationError} It cannot be used. The message says why, without a password or token.
   */
  constructor(redis: UpstashRest | RedisClient | Connection, options: ClientOptions = {}) {
    this.#timeoutMs = checkedTimeout(options.timeoutMs, TIMEOUT_MS);
    this.#redis = connectionOf(redis);
  }

  /**
   * Return a client of Upstash's REST interface with the variables `UPSTASH_REDIS_REST_URL` and
   * `UPSTASH_REDIS_REST_TOKEN`, or `KV_REST_API_URL` and `KV_REST_API_TOKEN`.
   *
   * @param env The variables; `process.env` by default.
   * @throws {ConfigurationError} They are not set, or cannot be used.
   */
  static fromEnv(env?: Environment, options?: ClientOptions): EmbeddingClient {
    return new EmbeddingClient(connectionFromEnvironment(env), options);
  }

  /**
   * Enqueue one image and return the task's id.
   *
   * @param imageId The `_id` of the document that gets the vector.
   * @param url An http or https URL, at most 8,192 characters.
   * @throws {InvalidJob} The id, the URL or the trace cannot be used. Nothing was enqueued.
   * @throws {BrokerUnavailable} Redis could not be reached, refused the job, or did not answer in time.
   */
  async enqueue(imageId: ImageId, url: string, options: EnqueueOptions = {}): Promise<string> {
    const job = newJob(imageId, url, options);
    const taskId = crypto.randomUUID();
    await this.#push([imageMessage(job, taskId)], this.#timeoutMs, options.signal);
    return taskId;
  }

  /**
   * Enqueue many images, in chunks of at most 500 jobs and 1 MB, and return how many.
   *
   * @param jobs Pairs of image id and URL. They are read lazily, so a generator over a large collection is fine. If
   *   several pairs have the same id, the last one wins. A signal that aborts is noticed at the next pair.
   * @throws {InvalidJob} A pair cannot be used. Earlier chunks were enqueued, its own chunk was not.
   * @throws {BrokerUnavailable} As for `enqueue`. Earlier chunks were enqueued.
   */
  async enqueueMany(jobs: Iterable<Job> | AsyncIterable<Job>, options: EnqueueOptions = {}): Promise<number> {
    // The signal ends it also while the source of the jobs does not answer.
    return within(options.signal, (ending) => this.#pushAll(jobs, options, ending));
  }

  async #pushAll(jobs: Iterable<Job> | AsyncIterable<Job>, options: EnqueueOptions, signal: AbortSignal): Promise<number> {
    const toMessage = (imageId: unknown, url: unknown): string =>
      imageMessage(newJob(imageId, url, options), crypto.randomUUID());
    let count = 0;
    let sent: Promise<void> = Promise.resolve();
    try {
      for await (const chunk of chunksOf(jobs, toMessage, signal)) {
        await sent; // while one chunk is on its way, the next is made
        sent = this.#push(chunk, BULK * this.#timeoutMs, signal);
        sent.catch(() => undefined); // it is thrown below, which may be later
        count += chunk.length;
      }
    } finally {
      await sent; // its error comes first: of an InvalidJob, the caller may assume that the earlier chunks were enqueued
    }
    return count;
  }

  async #push(messages: string[], timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const redis = this.#redis;
    const failed = (reason: string): BrokerUnavailable =>
      new BrokerUnavailable(`Redis at ${redis.host} did not accept the job: ${reason}`);
    const late = (): Error => {
      const state = redis.state?.();
      return failed(`it did not answer within ${timeoutMs / 1000} s${state ? ` (${state})` : ""}`);
    };
    const push = async (ending: AbortSignal): Promise<void> => {
      try {
        await redis.lpush(IMAGE_QUEUE, messages, ending);
      } catch (error) {
        throw failed(reasonOf(error, redis.secrets ?? []));
      }
    };
    await within(signal, push, timeoutMs, late);
  }
}
