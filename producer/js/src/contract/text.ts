/** Rules for untrusted text: whether it can be stored, and how it is shown; and the JSON of messages. */

import { InvalidJob } from "../errors.js";

// Matches a text that JSON writes as it is. Most texts match, and the test is several times faster than what it saves.
const PLAIN = /^[ !#-[\]-~]*$/;
const NOT_ASCII = /[\x7f-\uffff]/g;
// The same list as in producer/contract/text.py. On one line, because a literal makes the bundle smaller.
const HIDDEN =
  /[\x7f-\xa0\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2064\u2066-\u206f\u3000\ud800-\uf8ff\ufeff\ufff9-\ufffb\u{110bd}\u{110cd}\u{13430}-\u{1343f}\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0001}\u{e0020}-\u{e007f}\u{f0000}-\u{ffffd}\u{100000}-\u{10fffd}]/gu;

/**
 * Check that MongoDB and JSON can hold a text.
 *
 * @param name What the text is, for the error.
 * @throws {InvalidJob} It contains a null character or a lone surrogate.
 */
export function checkText(name: string, text: string): void {
  if (text.includes("\0")) {
    throw new InvalidJob(`${name} contains a null character`);
  }
  if (/\p{Surrogate}/u.test(text)) {
    throw new InvalidJob(`${name} is not valid Unicode text (it has a lone surrogate)`);
  }
}

/** Return how many characters a text has, as Python counts them: code points, where `length` counts UTF-16 units. */
export function countCharacters(text: string): number {
  return text.length - (text.match(/[\ud800-\udbff][\udc00-\udfff]/g)?.length ?? 0);
}

/** Return the first `count` characters of a text, as Python counts them. */
export function firstCharacters(text: string, count: number): string {
  return text.length <= count ? text : Array.from(text).slice(0, count).join("");
}

/** Return a text as JSON in ASCII, as Python's `json.dumps` does. */
export function asciiJson(text: string): string {
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text).replace(NOT_ASCII, escape);
}

/** Return a text as JSON for people: only what would be invisible or change the line is escaped. */
export function readableJson(text: string): string {
  return PLAIN.test(text)
    ? `"${text}"`
    : JSON.stringify(text).replace(HIDDEN, (found) => found.replace(NOT_ASCII, escape));
}

function escape(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
