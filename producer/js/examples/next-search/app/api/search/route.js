// A route handler of Next.js: GET /api/search?q=a+red+bicycle. The browser calls this route and never sees the key.
// Variables: CLIPQUEUE_URL, and CLIPQUEUE_SEARCH_KEY, which only needs to be a key that may search.
import { ApiError, ApiUnavailable, ClipqueueApi } from "clipqueue";

const api = new ClipqueueApi({
  baseUrl: process.env.CLIPQUEUE_URL,
  apiKey: process.env.CLIPQUEUE_SEARCH_KEY,
  timeoutMs: 5000,
});
// Vercel's cache answers the same search for 30 s, and then once more while it fetches a new answer.
const CACHED = { "cache-control": "public, s-maxage=30, stale-while-revalidate=60" };

export async function GET(request) {
  const parameters = new URL(request.url).searchParams;
  const text = parameters.get("q")?.trim();
  if (!text) return failure(400, "q is empty");
  try {
    const query = { text, cursor: parameters.get("cursor"), limit: 24 };
    const page = await api.search(query, { signal: request.signal });
    const hits = page.data.map(({ id, url, score }) => ({ id, url, score }));
    return Response.json({ hits, next: page.next }, { headers: CACHED });
  } catch (error) {
    return explain(error);
  }
}

// What the visitor may know. The rest is in the log.
function explain(error) {
  const isRefusal = error instanceof ApiError;
  if (!isRefusal && !(error instanceof ApiUnavailable)) throw error;
  if (isRefusal && error.status === 400) return failure(400, error.message);
  console.error(error);
  if (isRefusal && error.status === 429) return failure(429, "Too many searches at once.", error.retryAfterMs);
  if (isRefusal && error.status < 500) return failure(500, "Search is not set up correctly.");
  return failure(503, "Search is not available. Try again in a moment.");
}

function failure(status, error, retryAfterMs) {
  const headers = { "cache-control": "no-store" };
  if (status === 429 || status === 503) headers["retry-after"] = String(Math.ceil((retryAfterMs ?? 1000) / 1000));
  return Response.json({ error }, { status, headers });
}
