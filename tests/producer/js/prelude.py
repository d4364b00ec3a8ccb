"""The beginning of the programs that the tests of the client run."""

# The four ways to Redis, by name. `print` ends the program, because open connections keep Node running.
PRELUDE = """
import { EmbeddingClient } from "clipqueue";
const { REDIS_URL, UPSTASH_REDIS_REST_URL: url, UPSTASH_REDIS_REST_TOKEN: token } = process.env;
const ways = {
  rest: async () => ({ url, token }),
  ioredis: async (options = {}) => new (await import("ioredis")).Redis(REDIS_URL, options).on("error", () => {}),
  redis: async () => (await import("redis")).createClient({ url: REDIS_URL }).on("error", () => {}).connect(),
  upstash: async () => new (await import("@upstash/redis")).Redis({ url, token }),
};
const outcome = (call) => Promise.resolve().then(call).catch((error) => `${error.name}: ${error.message}`);
const print = (value) => { console.log(JSON.stringify(value)); process.exit(); };
process.on("unhandledRejection", (error) => print(`unhandled rejection: ${error}`));
"""
