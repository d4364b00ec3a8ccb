// What TypeScript accepts and refuses. `test_package.py` compiles it with strict settings; it never runs.
import { Redis as Upstash } from "@upstash/redis";
import { Redis as UpstashInWorkers } from "@upstash/redis/cloudflare";
import { Long, ObjectId, UUID } from "bson";
import {
  BrokerUnavailable,
  type ClientOptions,
  ClipqueueError,
  type Connection,
  EmbeddingClient,
  type ImageId,
  type Job,
} from "clipqueue";
import { redisOverTcp } from "clipqueue/workers";
import { Redis } from "ioredis";
import { createClient, createClientPool, createSentinel } from "redis";

const ofRequest: { traceparent?: string | undefined; baggage?: string } = {};
const carrier: Record<string, string> = {};
await EmbeddingClient.fromEnv().enqueue("a", "https://host/a.jpg", { trace: ofRequest });
await EmbeddingClient.fromEnv().enqueue("a", "https://host/a.jpg", { trace: carrier });
// @ts-expect-error a header is a text
await EmbeddingClient.fromEnv().enqueue("a", "https://host/a.jpg", { trace: { traceparent: 1 } });

const options: ClientOptions = { timeoutMs: 1000 };
const rest = { url: "https://host", token: "token" };
const connection: Connection = redisOverTcp("redis://host");
const clients: readonly EmbeddingClient[] = [
  new EmbeddingClient(rest, options),
  new EmbeddingClient(new Redis("redis://host")),
  new EmbeddingClient(createClient({ url: "redis://host" })),
  new EmbeddingClient(await createClient().connect()),
  new EmbeddingClient(createClient({ RESP: 3 })),
  new EmbeddingClient(createClientPool()),
  new EmbeddingClient(createSentinel({ name: "primary", sentinelRootNodes: [] })),
  new EmbeddingClient(new Upstash(rest)),
  new EmbeddingClient(Upstash.fromEnv()),
  new EmbeddingClient(new UpstashInWorkers(rest)),
  new EmbeddingClient(connection),
  EmbeddingClient.fromEnv(),
  EmbeddingClient.fromEnv(process.env, { timeoutMs: 1000 }),
];

interface WorkerVariables {
  UPSTASH_REDIS_REST_URL: string;
  UPSTASH_REDIS_REST_TOKEN: string;
  SOME_BINDING: { get(key: string): Promise<string> };
}

export async function accepted(variables: WorkerVariables, timeoutMs: number | undefined): Promise<void> {
  const client = EmbeddingClient.fromEnv(variables, { timeoutMs });
  const ids: readonly ImageId[] = [
    "photo-1", { $oid: "65f0c0ffee65f0c0ffee65f0" }, new ObjectId(), 5, 5n, { $numberLong: "5" }, Long.ONE, new UUID(),
  ];
  const jobs: Job[] = ids.map((id) => [id, "https://host/a.jpg"]);
  const documents = [{ _id: new ObjectId(), url: "https://host/a.jpg" }];
  const taskId: string = await client.enqueue(new ObjectId(), "https://host/a.jpg", { force: true });
  const count: number = await client.enqueueMany(jobs, { signal: AbortSignal.timeout(1000) });
  await client.enqueueMany(new Map([["photo-1", "https://host/a.jpg"]]));
  await client.enqueueMany(new Set(jobs));
  await client.enqueueMany(documents.map((document) => [document._id, document.url]));
  await client.enqueueMany((async function* () { yield* jobs; })());
  try {
    await client.enqueue(taskId, String(count));
  } catch (error) {
    if (error instanceof ClipqueueError) console.error(error.name, error.message);
    if (error instanceof BrokerUnavailable) console.error(error satisfies ClipqueueError);
  }
}

export async function refused(client: EmbeddingClient): Promise<void> {
  // @ts-expect-error a client, not a URL
  new EmbeddingClient("redis://host");
  // @ts-expect-error the token is missing
  new EmbeddingClient({ url: "https://host" });
  // @ts-expect-error no such option
  new EmbeddingClient(rest, { timeout: 5 });
  // @ts-expect-error true is no id
  await client.enqueue(true, "https://host/a.jpg");
  // @ts-expect-error the URL is missing
  await client.enqueue("photo-1");
  // @ts-expect-error a URL is a string
  await client.enqueue("photo-1", new URL("https://host/a.jpg"));
  // @ts-expect-error no such option
  await client.enqueue("photo-1", "https://host/a.jpg", { forced: true });
  // @ts-expect-error pairs, not objects
  await client.enqueueMany([{ id: "photo-1", url: "https://host/a.jpg" }]);
  // @ts-expect-error pairs, not triples
  await client.enqueueMany([["photo-1", "https://host/a.jpg", true]]);
  // @ts-expect-error a read-only property
  connection.host = "other";
}

export default clients;
