// A Cloudflare Worker: POST /enqueue with {"id", "url"} enqueues an image, and GET /search?q=... searches.
// wrangler.toml lists its variables and secrets.
import { ApiError, ApiUnavailable, BrokerUnavailable, ClipqueueApi, EmbeddingClient, InvalidJob } from "clipqueue";
import { redisOverTcp } from "clipqueue/workers";

export default {
  async fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    try {
      if (request.method === "POST" && pathname === "/enqueue") return await enqueue(request, env);
      if (request.method === "GET" && pathname === "/search") return await search(request, env, context);
      return failure(404, "there is no such path");
    } catch (error) {
      return explain(error);
    }
  },
};

// Made for each request: a Worker may not use the connection of another request.
const ways = {
  rest: (env) => EmbeddingClient.fromEnv(env),
  tcp: (env) => new EmbeddingClient(redisOverTcp(env.REDIS_URL)),
  api: (env) => apiOf(env),
};

async function enqueue(request, env) {
  if (!(await mayEnqueue(request, env))) return failure(401, "send the upload token as a bearer token");
  const job = await request.json().catch(() => undefined);
  await ways[env.ENQUEUE_BY](env).enqueue(job?.id, job?.url);
  return Response.json({ id: job.id, status: "queued" }, { status: 202 });
}

async function search(request, env, context) {
  const text = new URL(request.url).searchParams.get("q")?.trim();
  if (!text) return failure(400, "q is empty");
  // Only what the answer depends on, so that other parameters make no further entries.
  const key = new Request(new URL(`/search?q=${encodeURIComponent(text)}`, request.url));
  const stored = await caches.default.match(key);
  if (stored) return stored;
  const page = await apiOf(env).search({ text, limit: 24 });
  const hits = page.data.map(({ id, url, score }) => ({ id, url, score }));
  // The API's own answer is `private`, which the cache would not keep.
  const answer = Response.json({ hits }, { headers: { "cache-control": "public, max-age=30" } });
  context.waitUntil(caches.default.put(key, answer.clone()));
  return answer;
}

function apiOf(env) {
  return ClipqueueApi.fromEnv(env, { timeoutMs: 5000 });
}

async function mayEnqueue(request, env) {
  if (!env.UPLOAD_TOKEN) return false;
  const [given, wanted] = await Promise.all(
    [request.headers.get("authorization") ?? "", `Bearer ${env.UPLOAD_TOKEN}`].map((text) =>
      crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)),
    ),
  );
  return crypto.subtle.timingSafeEqual(given, wanted);
}

// What a caller may know. The rest is in the log.
function explain(error) {
  if (error instanceof InvalidJob) return failure(400, error.message);
  if (error instanceof ApiError && error.status === 400) return failure(400, error.message);
  console.error(error);
  const isAway = error instanceof BrokerUnavailable || error instanceof ApiUnavailable;
  const isBusy = error instanceof ApiError && (error.status === 429 || error.status >= 500);
  return isAway || isBusy ? failure(503, "try again") : failure(500, "the Worker failed; its log says why");
}

function failure(status, error) {
  const headers = { "cache-control": "no-store", ...(status === 503 && { "retry-after": "1" }) };
  return Response.json({ error }, { status, headers });
}
