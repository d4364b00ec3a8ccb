// The same function with Redis over HTTPS, as Upstash offers it: no connection that can die between two requests.
// Variables of the project: MONGODB_URI, UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN (or KV_REST_API_*).
import { EmbeddingClient } from "clipqueue";
import { storeUpload } from "../lib/upload.js";

const queue = EmbeddingClient.fromEnv();

export function POST(request) {
  return storeUpload(request, queue);
}
