// A Vercel Function on Node: POST /api/upload with {"url": "https://..."} stores the image and enqueues it over TCP.
// Variables of the project: MONGODB_URI, REDIS_URL.
import { queue } from "../lib/queue.js";
import { storeUpload } from "../lib/upload.js";

export function POST(request) {
  return storeUpload(request, queue);
}
