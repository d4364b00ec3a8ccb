/** The headers that carry a trace. Workers drop those that are not valid: producer/contract/trace.py has the rules. */

import { InvalidJob } from "../errors.js";
import { asciiJson } from "./text.js";

/** The headers of a trace, as a propagator writes them. Other names are ignored. */
export interface Trace {
  readonly traceparent?: string | undefined;
  readonly tracestate?: string | undefined;
  readonly "sentry-trace"?: string | undefined;
  readonly baggage?: string | undefined;
}

/**
 * Return the headers as the last members of a JSON object, with a comma before each.
 *
 * @throws {InvalidJob} One of them cannot be a header.
 */
export function traceJson(trace: Trace = {}): string {
  let json = "";
  for (const name of ["traceparent", "tracestate", "sentry-trace", "baggage"] as const) {
    const value = trace[name] ?? "";
    if (!/^[ -~]{0,2048}$/.test(value)) throw new InvalidJob(`trace: ${name} is not valid`);
    if (value) json += `,"${name}":${asciiJson(value)}`;
  }
  return json;
}
