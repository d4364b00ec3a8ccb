/** Images as JSON and request bodies have them, and vectors as they come back. */

import { ApiError, InvalidJob } from "../errors.js";
import type { ImageBytes, ImageSource } from "./types.js";

const MAX_BYTES = 8_388_608;
const CHUNK = 8192; // arguments of one call

/**
 * Return an image as JSON has it: a URL, a `data:` URI or base64.
 *
 * @throws {InvalidJob} It is no image, or above 8 MiB.
 */
export async function imageText(image: ImageSource): Promise<string> {
  if (typeof image === "string") return image;
  if (typeof image === "object" && image !== null && "href" in image) return image.href;
  const bytes = await imageBytes(image);
  let binary = "";
  for (let at = 0; at < bytes.length; at += CHUNK) binary += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  return btoa(binary);
}

/**
 * Return a copy of an image file's bytes, which the caller cannot change before they are sent again.
 *
 * @throws {InvalidJob} It is no image file, or above 8 MiB.
 */
export async function imageBytes(image: ImageBytes): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = viewOf(isBlob(image) ? await image.arrayBuffer() : image);
  if (bytes.length > MAX_BYTES) throw new InvalidJob(`the image has ${bytes.length} bytes; ${MAX_BYTES} are allowed`);
  return new Uint8Array(bytes);
}

/**
 * Return a vector from base64 of little-endian float32.
 *
 * @throws {ApiError} It is none.
 */
export function vectorOf(base64: unknown, host: string): number[] {
  try {
    const binary = atob(base64 as string);
    const view = new DataView(Uint8Array.from(binary, (char) => char.charCodeAt(0)).buffer);
    // Rounded up, so that a part of a number is an error.
    return Array.from({ length: Math.ceil(view.byteLength / 4) }, (_, index) => view.getFloat32(4 * index, true));
  } catch {
    throw new ApiError(`${host} answered with something else than a vector`, { status: 200 });
  }
}

// By their methods and not their classes: an edge runtime may have several of each class.
function isBlob(image: ImageBytes): image is Blob {
  return typeof image === "object" && image !== null && "arrayBuffer" in image;
}

function viewOf(image: ArrayBufferView | ArrayBuffer): Uint8Array {
  if (ArrayBuffer.isView(image)) return new Uint8Array(image.buffer, image.byteOffset, image.byteLength);
  if (Object.prototype.toString.call(image) === "[object ArrayBuffer]") return new Uint8Array(image);
  throw new InvalidJob("an image must be a URL, a Blob, a Uint8Array or an ArrayBuffer; read a stream first");
}
