/** The client of the HTTP API. */

import { chunksOf } from "../contract/chunks.js";
import type { EnqueueOptions, Job } from "../contract/job.js";
import { checkedTimeout, within } from "../deadline.js";
import { ApiError, ConfigurationError, InvalidJob } from "../errors.js";
import { processEnv } from "../settings.js";
import { answerIfKnown, answerOf, embed, stateIfKnown, UNKNOWN, withNumbers } from "./calls.js";
import { imagePath } from "./ids.js";
import { imageBytes, imageText } from "./images.js";
import { type ImageJobs, numberedJobs, wireJob } from "./jobs.js";
import type { CallOptions, EmbedOptions, StateOptions, WaitOptions } from "./options.js";
import { searchBody } from "./search.js";
import { connection } from "./settings.js";
import type { ApiEnv, ApiOptions, Connection } from "./settings.js";
import type { EnqueuedImage, ImageBytes, ImageRef, ImageSource, ImageState } from "./types.js";
import type { LiveModel, SearchPage, SearchRequest, UploadedImage } from "./types.js";
import { waitForEnd } from "./waiting.js";

const MAX_TEXTS = 32; // of one request
const WAIT_MS = 60_000;
const ANSWER_MS = 10_000; // beyond the time for which the API was asked to hold its answer

/**
 * Calls clipqueue's HTTP API. It keeps no connection and no state, so one may be made for each request.
 *
 * A request that got no answer, or 429, 502, 503 or 504, is sent again until `timeoutMs` is over: after the time that
 * the answer names, or else after a growing one. Each request may arrive twice without harm: it asks, or it says what an
 * image shall be. Of two calls for one image that overlap in time, either may win; await one before you start the next.
 *
 * All methods reject with `ApiError` if the API refuses the request, with `ApiUnavailable` if it does not answer in
 * time, and with the reason of their `signal`.
 */
export class ClipqueueApi {
  readonly #api: Connection;

  /**
   * @throws {ConfigurationError} An option cannot be used.
   */
  constructor(options: ApiOptions) {
    this.#api = connection(options);
  }

  /**
   * Return a client for `CLIPQUEUE_URL`, with the key `CLIPQUEUE_KEY` if that is set.
   *
   * @param env The variables; by default, those of the process. A Worker gives its own.
   * @throws {ConfigurationError} A variable is missing or cannot be used.
   */
  static fromEnv(
    env: ApiEnv = processEnv(),
    options: Omit<ApiOptions, "baseUrl" | "apiKey"> = {},
  ): ClipqueueApi {
    const { CLIPQUEUE_URL: baseUrl, CLIPQUEUE_KEY: apiKey } = env;
    if (!baseUrl) throw new ConfigurationError("CLIPQUEUE_URL is not set; it is the address of the HTTP API");
    return new ClipqueueApi({ ...options, baseUrl, apiKey: apiKey || undefined });
  }

  /**
   * Return the vector of a text: unit length, for comparison with those of images.
   *
   * @throws {InvalidJob} It is no text.
   */
  async embedText(text: string, options?: EmbedOptions): Promise<number[]>;
  /** Return the vectors of texts, in their order. Each 32 of them are one request. */
  async embedText(texts: readonly string[], options?: EmbedOptions): Promise<number[][]>;
  async embedText(text: string | readonly string[], options: EmbedOptions = {}): Promise<number[] | number[][]> {
    const texts = [text].flat();
    const inputs = texts.map(textInput);
    const vectors: number[][] = [];
    for (let at = 0; at < inputs.length; at += MAX_TEXTS) {
      vectors.push(...(await embed(this.#api, inputs.slice(at, at + MAX_TEXTS), options)));
    }
    return Array.isArray(text) ? vectors : (vectors[0] as number[]);
  }

  /**
   * Return the vector of an image, without storing anything. A worker downloads a URL.
   *
   * @throws {InvalidJob} The image is above 8 MiB.
   */
  async embedImage(image: ImageSource, options: EmbedOptions = {}): Promise<number[]> {
    const [vector] = await embed(this.#api, [{ image: await imageText(image) }], options);
    return vector as number[];
  }

  /** Return the models of the live workers. */
  async models(options: CallOptions = {}): Promise<LiveModel[]> {
    const call = { method: "GET", path: "/v1/models" } as const;
    const { data } = await answerOf<{ data: LiveModel[] }>(this.#api, "data", call, { signal: options.signal });
    return data;
  }

  /**
   * Record an image as pending and enqueue it. The last enqueue of an image wins, and a repetition is harmless.
   *
   * @throws {InvalidJob} The id or the URL cannot be used.
   */
  async enqueue(image: ImageRef, url: string, options: EnqueueOptions = {}): Promise<EnqueuedImage> {
    const body = JSON.stringify(wireJob(image, url, options.force ?? false));
    const call = { method: "POST", path: "/v1/images", body } as const;
    return answerOf<EnqueuedImage>(this.#api, "task_id", call, { signal: options.signal });
  }

  /**
   * Enqueue many images, 500 in a request, and return how many. `timeoutMs` holds for each request.
   *
   * @param jobs Pairs of id and URL. They are read lazily, so a cursor over a large collection is fine.
   * @throws {InvalidJob} A pair cannot be used. Earlier requests were enqueued, its own was not.
   */
  async enqueueMany(jobs: ImageJobs, options: EnqueueOptions = {}): Promise<number> {
    return within(options.signal, (ending) => this.#enqueueAll(jobs, options.force ?? false, ending));
  }

  async #enqueueAll(jobs: ImageJobs, force: boolean, signal: AbortSignal): Promise<number> {
    const wire = numberedJobs(force);
    let enqueued = 0;
    // A chunk has 1,000,000 characters of at most three bytes: far below the API's limit.
    const text = (image: unknown, url: unknown): string => JSON.stringify(wire(image, url));
    for await (const chunk of chunksOf(jobs as Iterable<Job>, text, signal)) {
      const call = { method: "POST", path: "/v1/images", body: `{"images":[${chunk.join()}]}` } as const;
      await answerOf<{ data: unknown }>(this.#api, "data", call, { signal });
      enqueued += chunk.length;
    }
    return enqueued;
  }

  /** Return the state of an image; undefined if there is no such document, or its vector was removed. */
  async status(image: ImageRef, options: StateOptions = {}): Promise<ImageState | undefined> {
    const path = imagePath(image, { vector: form(options) });
    return stateIfKnown(this.#api, { method: "GET", path }, { signal: options.signal });
  }

  /**
   * Wait until the job of an image has ended, and return its state: `done` or `failed`; or `pending`, if `timeoutMs`
   * was over first. It goes on waiting while the API restarts. An image that is unknown is waited for too: a job that
   * was enqueued directly in Redis may have no document before it ends.
   *
   * @throws {ApiError} With the status 404: the image is still unknown when the time is over.
   */
  async waitFor(image: ImageRef, options: WaitOptions = {}): Promise<ImageState> {
    const timeoutMs = checkedTimeout(options.timeoutMs, WAIT_MS);
    const ask = (waitS: number, leftMs: number): Promise<ImageState | undefined> => {
      const path = imagePath(image, { wait: String(waitS), vector: form(options) });
      const limits = { timeoutMs: leftMs, attemptMs: 1000 * waitS + ANSWER_MS, signal: options.signal };
      return stateIfKnown(this.#api, { method: "GET", path }, limits);
    };
    const state = await waitForEnd(ask, timeoutMs, options.signal);
    if (state !== undefined) return state;
    const answer = { status: 404, code: UNKNOWN, param: "image_id" };
    throw new ApiError(`${this.#api.host} knows no image with this id, ${timeoutMs} ms after the question`, answer);
  }

  /**
   * Embed the bytes of an image at once, and write the vector as a job would. For images without a URL.
   *
   * @throws {InvalidJob} The id cannot be used, or the image is above 8 MiB.
   */
  async upload(image: ImageRef, bytes: ImageBytes, options: StateOptions = {}): Promise<UploadedImage> {
    const body = await imageBytes(bytes);
    const path = imagePath(image, { vector: form(options) });
    const call = { method: "PUT", path, body } as const;
    const state = await answerOf<UploadedImage>(this.#api, "saved", call, { signal: options.signal });
    return withNumbers(state, this.#api.host);
  }

  /**
   * Search the stored images by a text, a picture, other stored images, or several of them.
   *
   * @throws {InvalidJob} A part of the request would be lost, such as an undefined value in the filter.
   */
  async search(request: SearchRequest, options: CallOptions = {}): Promise<SearchPage> {
    const body = await searchBody(request);
    const call = { method: "POST", path: "/v1/search", body } as const;
    return answerOf<SearchPage>(this.#api, "data", call, { signal: options.signal });
  }

  /** Take the vector of an image away. The document and its other fields stay. Resolves too if there was none. */
  async remove(image: ImageRef, options: CallOptions = {}): Promise<void> {
    await answerIfKnown(this.#api, { method: "DELETE", path: imagePath(image, {}) }, { signal: options.signal });
  }
}

function textInput(text: unknown): { text: string } {
  if (typeof text !== "string") throw new InvalidJob(`a text must be a string, not ${text === null ? text : typeof text}`);
  return { text };
}

function form(options: StateOptions): string | undefined {
  return options.vector ? "base64" : undefined;
}
