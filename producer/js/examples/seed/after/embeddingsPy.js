// The same function with clipqueue. Instead of returning an error as if it were a vector, it throws: ApiError,
// ApiUnavailable.
// Variables: CLIPQUEUE_URL, such as http://localhost:8000, and CLIPQUEUE_KEY.
import { ClipqueueApi } from "clipqueue";

const api = ClipqueueApi.fromEnv();

export function getImageEmbedding(base64) {
  return api.embedImage(base64);
}

// Better: the upload does not wait for the model. The vector appears in the document with this _id.
export function addImage(id, url) {
  return api.enqueue(id, url);
}
