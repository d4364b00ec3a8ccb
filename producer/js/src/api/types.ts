/**
 * What the HTTP API takes and answers. Fields have the API's own names, so the page about the API holds for them too.
 * Only vectors differ: they arrive as numbers, and images may be given as bytes.
 */

import type { ImageId } from "../contract/ids.js";

/** What the API calls the type of an id that is no string. */
type IdType = "oid" | "int" | "uuid";

/** An image in an answer of the API. */
interface NamedImage {
  /** The id as text. */
  id: string;
  /** The type of an id that is no string: an ObjectId, an integer or a UUID. */
  type?: IdType;
}

/** An image by its id in an object, such as a whole hit or state that the API answered. */
export interface ImageWithId {
  readonly id: ImageId;
  readonly type?: IdType | undefined;
}

/** An image by its id, or in an object such as a hit. */
export type ImageRef = ImageId | ImageWithId;

/** The bytes of an image file. A stream must be read first: `await new Response(stream).blob()`. */
export type ImageBytes = Blob | ArrayBufferView | ArrayBuffer;

/** A URL, a `data:` URI, base64, or the bytes of an image file. */
export type ImageSource = string | URL | ImageBytes;

/** What is known of a stored image. A pending or failed image keeps its earlier vector and what describes it. */
interface StoredImage extends NamedImage {
  /** The URL of the last job; missing for an upload. */
  url?: string;
  /** The model of the vector. */
  model?: string;
  /** The length of the vector. */
  dim?: number;
  /** The SHA-256 of the image file, as hex digits. */
  sha256?: string;
  /** In pixels. */
  width?: number;
  /** In pixels. */
  height?: number;
  /** The format of the image file, such as `JPEG`. */
  format?: string;
  /** When the last job was enqueued, such as `2026-11-27T16:02:55.811Z`. */
  enqueued_at?: string;
  /** When the last job ended. */
  finished_at?: string;
  /** How often the last job was tried. */
  attempts?: number;
  /** The vector of unit length, if it was asked for and there is one. */
  vector?: number[];
}

/** The image waits for a worker, or has never been enqueued. */
export interface PendingImage extends StoredImage {
  status: "pending";
}

/** The image has its vector. */
export interface DoneImage extends StoredImage {
  status: "done";
  model: string;
  dim: number;
  finished_at: string;
}

/** The last job failed. */
export interface FailedImage extends StoredImage {
  status: "failed";
  error: ImageFailure;
}

/** Why a job failed. */
export interface ImageFailure {
  /** A word that programs can compare, such as `http_404`. */
  code: string;
  /** Where it failed, such as `fetch` or `decode`. */
  stage: string;
  message: string;
}

/** The state of an image. Compare `status` first: it decides which other fields there are. */
export type ImageState = PendingImage | DoneImage | FailedImage;

/** A job that was recorded and enqueued. */
export interface EnqueuedImage extends PendingImage {
  /** The id of the message on the queue. */
  task_id: string;
  /** The path of the state in the API. */
  status_url: string;
}

/** The state after an upload. */
export type UploadedImage = ImageState & {
  /** `superseded` if a later job for this image had been enqueued: that job decides the vector. */
  saved: "done" | "superseded";
};

/** A model that live workers have. */
export interface LiveModel {
  id: string;
  object: "model";
  created: number;
  owned_by: string;
  /** Other names that requests may use. */
  aliases: string[];
  /** The length of its vectors. */
  dim: number;
  /** The most tokens of a text. */
  context_length: number;
  /** How many live workers answer with it. */
  workers: number;
}

/** What to search for. At least one of `text`, `image` and `like` is needed; several are combined. */
export interface SearchRequest {
  /** Resemble this text. */
  text?: string | undefined;
  /** Resemble this picture, or this stored image. */
  image?: ImageSource | ImageWithId | undefined;
  /** Resemble these stored images; at most 16. They are no hits themselves. */
  like?: ImageRef | readonly ImageRef[] | undefined;
  /** Do not resemble these texts and stored images; at most 8 and 16. */
  not?: NotLike | readonly NotLike[] | undefined;
  /** How much each part counts; by default 1, 1, 1 and 0.5. */
  weights?: SearchWeights | undefined;
  /** Only images whose declared fields match. Dates and ObjectIds may be given as objects. */
  filter?: Readonly<Record<string, unknown>> | undefined;
  /** The size of a page: 24 by default, at most 1,000 on all pages together. */
  limit?: number | undefined;
  /** `next` of the page before. */
  cursor?: string | null | undefined;
  /** Only hits with at least this score. */
  min_score?: number | undefined;
  /** Only hits whose score is at most this much below that of the best one. */
  within?: number | undefined;
  /** Fold a hit into a better one if the cosine of the two is at least this, such as 0.97. */
  dedupe?: number | undefined;
  /** Compare all vectors, even if an index could estimate the best ones faster. */
  exact?: boolean | undefined;
  /** Return these declared fields of the documents too. */
  fields?: readonly string[] | undefined;
  /** Search the vectors of this model; by default, of the live workers' model. */
  model?: string | undefined;
}

/** How much each part of a search counts, from 0 to 100. */
export interface SearchWeights {
  text?: number | undefined;
  image?: number | undefined;
  like?: number | undefined;
  not?: number | undefined;
}

/** A text, or a stored image. */
export type NotLike = string | ImageWithId;

/** An image that was found. */
export interface Hit extends NamedImage {
  /** The cosine of its vector and the query's. */
  score: number;
  /** The URL that was embedded last; null if there is none, as for an upload. */
  url: string | null;
  /** The fields that the search asked for, if the document has them, by their path. */
  fields: Record<string, unknown>;
  /** The ids, as text, of the images that `dedupe` folded into this one. */
  duplicates: string[];
}

/** A page of hits, the best first. */
export interface SearchPage {
  object: "list";
  /** The model whose vectors were compared. */
  model: string;
  /** Whether an index of MongoDB was used, or all vectors were compared. */
  backend: "vector_search" | "scan";
  data: Hit[];
  /** The `cursor` of the next page; null after the last one. */
  next: string | null;
  /** Milliseconds by step: `embed` and `search`. */
  took_ms: Record<string, number>;
}
