/** Reads the settings of both clients: variables, and texts that people have copied. */

/** Return the process's environment variables; none where there is no process. */
export function processEnv(): Readonly<Record<string, string | undefined>> {
  return (globalThis as { process?: { env?: Record<string, string> } }).process?.env ?? {};
}

/** Return a URL, or undefined if the text is none. (`URL.parse` is too new for Node 20.) */
export function parseUrl(text: string): URL | undefined {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}

/** Return a setting without the white space and the quotes that people paste with it; empty if it is no text. */
export function unquoted(value: unknown): string {
  return typeof value === "string" ? value.trim().replace(/^(["'])(.*)\1$/, "$2").trim() : "";
}
