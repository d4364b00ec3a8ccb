/** Reads the URL of a Redis. Its errors repeat no part of it: that may be a piece of the password. */

import { ConfigurationError } from "../errors.js";
import { parseUrl, unquoted } from "../settings.js";

/** Where Redis is, and how to sign in. */
export interface RedisUrl {
  readonly hostname: string;
  readonly port: number;
  readonly tls: boolean;
  readonly username: string;
  readonly password: string;
  readonly database: number;
}

/**
 * Read `redis://user:password@host:6379/0`, or `rediss://` for TLS.
 *
 * @throws {ConfigurationError} The URL cannot be read.
 */
export function readRedisUrl(text: unknown): RedisUrl {
  const cleaned = unquoted(text);
  const problem = (what: string): ConfigurationError =>
    new ConfigurationError(`the URL of Redis ${what}; expected: redis://:password@host:6379/0 (or rediss:// for TLS)`);
  if (!/^rediss?:\/\//i.test(cleaned)) {
    throw problem(cleaned ? "must start with redis:// or rediss://" : "is missing or empty");
  }
  const url = parseUrl(cleaned);
  if (url === undefined || /\s/.test(cleaned) || !url.hostname) {
    throw problem("has a host or port that cannot be read; is a special character not percent-encoded?");
  }
  if (url.hash || `${url.pathname}${url.search}`.includes("@")) {
    throw problem("has a special character in its user name or password that is not percent-encoded");
  }
  const database = /^\/?([0-9]{0,9})$/.exec(url.pathname);
  if (database === null || url.search) {
    throw problem(database === null ? "must end with the number of a database" : "has options, which are not supported");
  }
  return {
    hostname: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: Number(url.port || 6379),
    tls: url.protocol === "rediss:",
    username: decode(url.username, problem),
    password: decode(url.password, problem),
    database: Number(database[1]),
  };
}

function decode(text: string, problem: (what: string) => ConfigurationError): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw problem("has a percent sign in its user name or password that is not written as %25");
  }
}
