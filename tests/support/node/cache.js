// What stands behind `caches.default` in a test: workerd sends each call of the Cache API here as a request.
const stored = new Map();

export default {
  async fetch(request) {
    if (request.method === "PUT") return store(request.url, await request.text());
    const body = stored.get(request.url);
    if (body === undefined) return new Response(null, { status: 504, headers: { "cf-cache-status": "MISS" } });
    const headers = { "cf-cache-status": "HIT", "content-type": "application/json" };
    return new Response(body, { headers });
  },
};

// The body is a whole HTTP response. Cloudflare keeps none without a lifetime, and none that is private.
function store(url, response) {
  const [head] = response.split("\r\n\r\n", 1);
  const control = /^cache-control: (.*)$/im.exec(head)?.[1] ?? "";
  if (/max-age=[1-9]/.test(control) && !/private|no-store/.test(control)) stored.set(url, response.slice(head.length + 4));
  return new Response(null, { status: 204 });
}
