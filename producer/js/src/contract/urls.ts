/**
 * Which URLs a job may have, and how a URL is shown without its query string.
 *
 * It ports producer/contract/urls.py. The platform's `URL` is not used: it repairs URLs that workers refuse.
 */

import { InvalidJob } from "../errors.js";
import { splitUrl } from "./spliturl.js";
import { checkText, countCharacters } from "./text.js";

const MAX_URL_CHARS = 8192;
// Matches most URLs. A URL that matches is valid, so the slower checks can be skipped.
const USUAL_URL = /^https?:\/\/[a-z0-9.-]{1,512}\/[!-[\]-~]*$/;
// Matches the part of a common URL before its query or fragment.
const BEFORE_QUERY = /^https?:\/\/[^?#@[\]\\\x00-\x20\x7f-\uffff]*(?=[?#]|$)/;
const URL_IN_TEXT = /(https?:\/\/[^ \t\n\v\f\r?#]*)[^ \t\n\v\f\r]*/gi;
// No URL may contain these unescaped (RFC 3986, section 2).
const FORBIDDEN_IN_URL = /[\x00-\x20\x7f\\]/;

/**
 * Check that workers would fetch a URL: a string, http or https, with a host, at most 8,192 characters.
 *
 * @throws {InvalidJob} Workers would refuse the URL. The message says why, without repeating the URL.
 */
export function checkUrl(url: unknown): asserts url is string {
  if (typeof url !== "string") {
    throw new InvalidJob(`url must be a string, not ${typeName(url)}`);
  }
  const characters = url.length > MAX_URL_CHARS ? countCharacters(url) : 0;
  if (characters > MAX_URL_CHARS) {
    throw new InvalidJob(`the URL has ${characters} characters; at most ${MAX_URL_CHARS} are allowed`);
  }
  if (!USUAL_URL.test(url)) {
    checkUnusualUrl(url);
  }
}

/** Return scheme, host and path only: the query string of a signed URL is a secret. */
export function redactUrl(url: string): string {
  const [beforeQuery] = BEFORE_QUERY.exec(url) ?? [];
  if (beforeQuery !== undefined) {
    return beforeQuery;
  }
  const parts = splitUrl(url);
  if (parts === undefined) {
    return "<unreadable URL>";
  }
  return parts.scheme ? `${parts.scheme}://${parts.hostAndPort}${parts.path}` : parts.path;
}

/** Remove the query and the fragment of every URL in a text. */
export function redactText(text: string): string {
  return text.includes("://") ? text.replace(URL_IN_TEXT, "$1") : text;
}

function checkUnusualUrl(url: string): void {
  checkText("the URL", url);
  const parts = splitUrl(url);
  if (parts === undefined || parts.port === undefined) {
    throw new InvalidJob("the URL cannot be read: its host or port is malformed");
  }
  if (!parts.scheme) {
    throw new InvalidJob("the URL has no scheme; it must start with http:// or https://");
  }
  if (parts.scheme !== "http" && parts.scheme !== "https") {
    throw new InvalidJob(`the URL's scheme is '${parts.scheme}'; only http and https are fetched`);
  }
  if (FORBIDDEN_IN_URL.test(url)) {
    throw new InvalidJob("the URL contains a space, backslash or control character; percent-encode it");
  }
  if (parts.hasUser) {
    throw new InvalidJob("the URL contains a user name or password; use a URL without them, such as a signed URL");
  }
  if (parts.host.includes("%")) {
    throw new InvalidJob("the URL's host contains a percent sign; zone ids and escapes are not allowed there");
  }
  if (!parts.host || parts.port === 0) {
    throw new InvalidJob(parts.host ? "the URL's port is 0" : "the URL has no host");
  }
}

function typeName(value: unknown): string {
  return value === null ? "null" : typeof value === "object" ? value.constructor?.name ?? "object" : typeof value;
}
