/** Divides a URL as Python's `urllib.parse.urlsplit` does, because workers read it so. */

import { countCharacters } from "./text.js";

/**
 * The parts of a URL.
 *
 * `port` is null if the URL names none, and undefined if it cannot be read. `hasUser` is true even for an empty name.
 */
export interface UrlParts {
  readonly scheme: string;
  readonly hasUser: boolean;
  readonly hostAndPort: string;
  readonly host: string;
  readonly port: number | null | undefined;
  readonly path: string;
}

// A name in DNS has at most 253 characters, and the normal form of a long one takes long.
const MAX_AUTHORITY = 512;
const SCHEME = /^([a-zA-Z][a-zA-Z0-9+.-]*):/;
// The end of an authority, from its first bracket.
const BRACKETED = /^\[([^[\]]*)\](?::([0-9]*))?$/;
const FUTURE_ADDRESS = /^v[a-fA-F0-9]+\.[^]/;
const IPV4 = /^(?:(?:0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])(?:\.(?!$)|$)){4}$/;

/** Return the parts of a URL, or undefined if its host cannot be read. */
export function splitUrl(url: string): UrlParts | undefined {
  const cleaned = url.replace(/^[\x00-\x20]+/, "").replace(/[\t\r\n]/g, "");
  const scheme = SCHEME.exec(cleaned)?.[1] ?? "";
  const rest = scheme ? cleaned.slice(scheme.length + 1) : cleaned;
  const authority = rest.startsWith("//") ? before(rest.slice(2), /[/?#]/) : "";
  const path = before(rest.startsWith("//") ? rest.slice(2 + authority.length) : rest, /[?#]/);
  if (countCharacters(authority) > MAX_AUTHORITY) {
    return undefined;
  }
  const at = authority.lastIndexOf("@");
  const hostAndPort = authority.slice(at + 1);
  const address = readAddress(authority, hostAndPort);
  if (address === undefined || expandsToDelimiter(authority)) {
    return undefined;
  }
  const [host, port] = address;
  return { scheme: scheme.toLowerCase(), hasUser: at >= 0, hostAndPort, host, port: readPort(port), path };
}

function before(text: string, end: RegExp): string {
  const index = text.search(end);
  return index < 0 ? text : text.slice(0, index);
}

function readAddress(authority: string, hostAndPort: string): readonly [string, string] | undefined {
  if (!/[[\]]/.test(authority)) {
    const colon = hostAndPort.indexOf(":");
    return colon < 0 ? [hostAndPort, ""] : [hostAndPort.slice(0, colon), hostAndPort.slice(colon + 1)];
  }
  const [matched, host = "", port = ""] = BRACKETED.exec(hostAndPort) ?? [];
  // Python looks at the first pair of brackets, which a user name may have too.
  const enclosed = /\[([^\]]*)\]/.exec(authority)?.[1];
  return matched !== undefined && enclosed !== undefined && isBracketable(enclosed) ? [host, port] : undefined;
}

function readPort(port: string): number | null | undefined {
  if (!port) {
    return null;
  }
  return /^[0-9]+$/.test(port) && Number(port) <= 65535 ? Number(port) : undefined;
}

function isBracketable(host: string): boolean {
  return host.startsWith("v") ? FUTURE_ADDRESS.test(host) : isIpv6(host);
}

function isIpv6(host: string): boolean {
  const [address = "", zone, ...more] = host.split("%");
  if (zone === "" || more.length > 0) {
    return false;
  }
  const groups = address.split(":");
  if (groups.at(-1)?.includes(".")) {
    if (!IPV4.test(groups.pop() ?? "")) {
      return false;
    }
    groups.push("0", "0");
  }
  return areGroups(groups);
}

/** Return whether these are the groups of an IPv6 address, which `::` may shorten once. */
function areGroups(groups: readonly string[]): boolean {
  const text = groups.join(":");
  const halves = text.split("::");
  const count = halves.flatMap((half) => (half ? half.split(":") : [])).length;
  const isHex = halves.every((half) => /^(?:[0-9a-fA-F]{1,4}(?::(?!$)|$))*$/.test(half));
  return isHex && (halves.length === 1 ? count === 8 : halves.length === 2 && count <= 7);
}

/** Return whether Unicode's compatible form of a host has another meaning, as `\u2100` that stands for `a/c`. */
function expandsToDelimiter(authority: string): boolean {
  const plain = authority.replace(/[@:#?]/g, "");
  const normalized = plain.normalize("NFKC");
  return normalized !== plain && /[/?#@:]/.test(normalized);
}
