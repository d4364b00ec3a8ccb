/** Finds Upstash's REST interface in the environment. */

import { ConfigurationError } from "../errors.js";
import { processEnv } from "../settings.js";
import type { Connection } from "./connection.js";
import { overRest } from "./rest.js";

// The names of Upstash's own integration, and those of Vercel's.
const NAMES = [
  ["UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"],
  ["KV_REST_API_URL", "KV_REST_API_TOKEN"],
] as const;
const PASS_A_CLIENT =
  "pass a client of ioredis or redis, such as new EmbeddingClient(new Redis(process.env.REDIS_URL))";

/** Variables by name: `process.env`, or the `env` of a Cloudflare Worker. */
export type Environment = object;

/**
 * Return a connection by the first pair of variables of which one is set.
 *
 * @throws {ConfigurationError} No pair is set, or one of its values cannot be used.
 */
export function connectionFromEnvironment(env: Environment = processEnv()): Connection {
  const variables = env as Readonly<Record<string, string | undefined>>;
  for (const names of NAMES) {
    const [url = "", token = ""] = names.map((name) => variables[name]);
    if (url || token) {
      return overRest({ url, token }, names);
    }
  }
  const missing = `${NAMES[0].join(" and ")} (or ${NAMES[1].join(" and ")}) are not set`;
  throw new ConfigurationError(missing + (variables["REDIS_URL"] ? `, but REDIS_URL is: ${PASS_A_CLIENT}` : ""));
}
