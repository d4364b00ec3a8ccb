/** Says why Redis did not accept a job, and what to do. The texts are those of the Python client. */

import { Refusal } from "./connection.js";

const FULL =
  "it is full: its memory has reached maxmemory. Start more workers so that the queue shrinks, enqueue more slowly, " +
  "or give Redis more memory";
const NOT_SAVED = "it refuses writes because it cannot save them: check its log, and the free space on its disk";
/** Why a Redis Cluster cannot be used. */
export const CLUSTER = "a Redis Cluster is not supported; use a Redis with one primary, with Sentinel or without";
const NO_PASSWORD = "it asks for a password, and the client sends none: put the password into the client's URL";
const WRONG_PASSWORD = "it refuses the user name or the password";
const READ_ONLY = "this user or token may not push on the queue; use one that may write";
const MAX_REASON_CHARS = 300;
const FAILOVER = /^(?:READONLY|MASTERDOWN|CLUSTERDOWN|LOADING|UNBLOCKED|NOREPLICAS)\b/;
// @upstash/redis repeats the command, which contains the job, and says which command of a pipeline failed.
const REPEATED_COMMAND = /, command was: [^]*$/;
const UPSTASH_PREFIX = /^Command (?:\d+ \[ \w+ \] )?failed: /;

/**
 * Return the reason for people.
 *
 * @param error What a client threw.
 * @param secrets Texts that the reason must not repeat.
 */
export function reasonOf(error: unknown, secrets: readonly string[]): string {
  if (error instanceof Refusal) {
    return error.message;
  }
  const text = errorText(error);
  const known = knownReason(text);
  if (known !== undefined) {
    return known;
  }
  // First, because a secret that is cut off or changed would not be found.
  const shown = printable(secrets.reduce((shorter, secret) => shorter.replaceAll(secret, "***"), text));
  return FAILOVER.test(text) ? `it is not the primary, or not ready: ${shown}` : shown;
}

function knownReason(text: string): string | undefined {
  const code = /^[A-Z]+/.exec(text)?.[0] ?? "";
  const reasons: Readonly<Record<string, string>> = {
    OOM: FULL,
    MISCONF: NOT_SAVED,
    MOVED: CLUSTER,
    ASK: CLUSTER,
    CROSSSLOT: CLUSTER,
    TRYAGAIN: CLUSTER,
    NOAUTH: NO_PASSWORD,
    WRONGPASS: WRONG_PASSWORD,
    NOPERM: READ_ONLY,
  };
  return reasons[code]; // all objects inherit names such as `constructor`, but none in capitals
}

function errorText(error: unknown): string {
  const text = error instanceof Error ? messageOf(error) : String(error);
  return text.replace(REPEATED_COMMAND, "").replace(UPSTASH_PREFIX, "");
}

/** Return an error's message; if it has none, or none that helps, that of its cause. */
function messageOf(error: Error): string {
  const inner = error instanceof AggregateError ? error.errors[0] : error.cause;
  const isVague = !error.message || error.message === "fetch failed";
  return isVague && inner instanceof Error ? messageOf(inner) : error.message || error.name;
}

function printable(text: string): string {
  const line = text.replace(/[\p{C}\s]+/gu, " ").trim();
  return line.length <= MAX_REASON_CHARS ? line : `${line.slice(0, MAX_REASON_CHARS)}...`;
}
