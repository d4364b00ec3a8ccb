/** The calls that several methods share. */

import { ApiError } from "../errors.js";
import { withField } from "./answers.js";
import { vectorOf } from "./images.js";
import type { EmbedOptions } from "./options.js";
import { type Call, type Limits, send } from "./send.js";
import type { Connection } from "./settings.js";
import type { ImageState } from "./types.js";

/** The code of the answer for an image that the API does not know. */
export const UNKNOWN = "image_not_found";

/** Return an answer with a field that each such answer has. */
export async function answerOf<T>(api: Connection, field: keyof T & string, call: Call, limits: Limits): Promise<T> {
  return withField(await send(api, call, limits), field, api.host);
}

/** Return an answer about an image; undefined if the API does not know the image. */
export async function answerIfKnown(api: Connection, call: Call, limits: Limits): Promise<unknown> {
  try {
    return await send(api, call, limits);
  } catch (error) {
    if (error instanceof ApiError && error.code === UNKNOWN) return undefined;
    throw error;
  }
}

/** Return the state of an image; undefined if the API does not know it. */
export async function stateIfKnown(api: Connection, call: Call, limits: Limits): Promise<ImageState | undefined> {
  const answer = await answerIfKnown(api, call, limits);
  return answer === undefined ? undefined : withNumbers(withField<ImageState>(answer, "status", api.host), api.host);
}

/** Return a state whose vector, if it has one, is a list of numbers instead of base64. */
export function withNumbers<T extends ImageState>(state: T, host: string): T {
  return state.vector === undefined ? state : { ...state, vector: vectorOf(state.vector, host) };
}

/** Return the vectors of at most 32 texts and images. */
export async function embed(api: Connection, input: readonly object[], options: EmbedOptions): Promise<number[][]> {
  const body = JSON.stringify({ input, model: options.model, encoding_format: "base64" });
  const call: Call = { method: "POST", path: "/v1/embeddings", body };
  const { data } = await answerOf<{ data: { embedding: string }[] }>(api, "data", call, { signal: options.signal });
  return input.map((_, index) => vectorOf(data[index]?.embedding, api.host));
}
