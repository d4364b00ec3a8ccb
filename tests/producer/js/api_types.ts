// Compiled by tests/producer/js/test_api_types.py. Never run.
import { ObjectId } from "bson";
import {
  ApiError,
  ApiUnavailable,
  ClipqueueApi,
  type EnqueuedImage,
  type Hit,
  type ImageState,
  type SearchPage,
  type SearchRequest,
  type UploadedImage,
} from "clipqueue";

const { env } = process;
const api = new ClipqueueApi({ baseUrl: "http://localhost:8000", apiKey: env["CLIPQUEUE_KEY"], timeoutMs: 5000 });
ClipqueueApi.fromEnv();
ClipqueueApi.fromEnv(process.env, { timeoutMs: 5000 });
declare const worker: { CLIPQUEUE_URL: string; BUCKET: { get(name: string): string }; API: { fetch: typeof fetch } };
ClipqueueApi.fromEnv(worker, { fetch: (url, init) => worker.API.fetch(url, init) });
ClipqueueApi.fromEnv(worker, { fetch });
// @ts-expect-error  the address is needed
new ClipqueueApi({ apiKey: "key" });
// @ts-expect-error  it is milliseconds
new ClipqueueApi({ baseUrl: "http://localhost:8000", timeoutMs: "5s" });

const vector: number[] = await api.embedText("a cat");
const vectors: number[][] = await api.embedText(["a cat", "a dog"], { model: "clip" });
declare const file: Blob;
const images = ["https://example.com/a.jpg", new URL("https://example.com"), file, new Uint8Array(5), new ArrayBuffer(5)];
for (const image of images) vectors.push(await api.embedImage(image, { signal: AbortSignal.timeout(5) }));
await api.embedImage(Buffer.from(""));
// @ts-expect-error  a stream can be read only once
await api.embedImage(file.stream());
// @ts-expect-error  the name is `model`
await api.embedText("a cat", { modal: "clip" });

const enqueued: EnqueuedImage = await api.enqueue(new ObjectId(), "https://example.com/a.jpg", { force: true });
await api.enqueue({ $oid: "0123456789abcdef01234567" }, "https://example.com/a.jpg");
await api.enqueue(5, "https://example.com/a.jpg");
await api.enqueue({ id: "5", type: "int" }, "https://example.com/a.jpg");
// @ts-expect-error  there is no such type
await api.enqueue({ id: "5", type: "integer" }, "https://example.com/a.jpg");
// @ts-expect-error  true is no id
await api.enqueue(true, "https://example.com/a.jpg");
// @ts-expect-error  the URL is needed
await api.enqueue("photo-1");
const count: number = await api.enqueueMany(new Map([["photo-1", "https://example.com/a.jpg"]]));
async function* pairs() {
  yield [new ObjectId(), "https://example.com/a.jpg"] as const;
}
await api.enqueueMany(pairs(), { force: false, signal: undefined });
await api.enqueueMany([[enqueued, "https://example.com/a.jpg"]]);
// @ts-expect-error  they are pairs
await api.enqueueMany(["photo-1"]);

const known: ImageState | undefined = await api.status("photo-1", { vector: true });
// @ts-expect-error  the image may be unknown
known.status;
const state: ImageState = await api.waitFor(enqueued, { timeoutMs: 5000, vector: true });
if (state.status === "done") {
  const model: string = state.model;
  const finished: string = state.finished_at;
  vector.push(...(state.vector ?? []), model.length, finished.length);
  // @ts-expect-error  only a failed image has an error
  state.error;
} else if (state.status === "failed") {
  const code: string = state.error.code;
  code.length;
} else {
  const status: "pending" = state.status;
  status.length;
  // @ts-expect-error  a pending image may have no model
  state.model.length;
}
// @ts-expect-error  there is no such status
state.status === "queued";
const uploaded: UploadedImage = await api.upload(state, file);
const saved: "done" | "superseded" = uploaded.saved;
// @ts-expect-error  a worker would have to download it
await api.upload("photo-1", "https://example.com/a.jpg");
const nothing: void = await api.remove(uploaded);

const request: SearchRequest = {
  text: "a cat",
  image: file,
  like: ["photo-1", new ObjectId(), { $oid: "0123456789abcdef01234567" }],
  not: ["a dog", { id: "photo-2" }, { id: new ObjectId() }],
  weights: { text: 1, not: 0.5 },
  filter: { album: "summer", taken_at: { $gte: new Date() } },
  fields: ["album"] as const,
  limit: 10,
  cursor: null,
  min_score: 0.2,
  within: 0.1,
  dedupe: 0.97,
  exact: true,
  model: "clip",
};
const page: SearchPage = await api.search(request);
await api.search({ text: "a cat", cursor: page.next });
const hits: Hit[] = page.data;
for (const hit of hits) {
  await api.search({ like: hit, not: [hit], image: hit });
  await api.status(hit);
  const url: string | null = hit.url;
  // @ts-expect-error  fields may have any type
  hit.fields["album"].length;
  count + hit.score + (url?.length ?? 0);
}
// @ts-expect-error  the name is `min_score`
await api.search({ text: "a cat", minScore: 0.2 });
// @ts-expect-error  an ObjectId among `not` needs `id`
await api.search({ text: "a cat", not: [new ObjectId()] });

const failure: unknown = nothing;
if (failure instanceof ApiError) {
  const status: number = failure.status;
  const [code, param, id]: (string | undefined)[] = [failure.code, failure.param, failure.requestId];
  const waitMs: number = status + (failure.retryAfterMs ?? 0);
  // @ts-expect-error  it cannot be changed
  failure.status = waitMs;
  [code, param, id, saved];
}
if (failure instanceof ApiUnavailable) failure.host.length;
