/** The part of Redis' protocol (RESP2) that enqueueing needs: commands of texts, and replies of one line. */

/** A reply that is no error. */
export type Reply = number | string;

const CR = 13;
const LF = 10;
const MAX_LINE_BYTES = 65_536;

/** Return the bytes of some commands, such as `[["SELECT", "1"], ["LPUSH", "images", "..."]]`. */
export function commandBytes(commands: ReadonlyArray<readonly string[]>): Uint8Array {
  const encoder = new TextEncoder();
  const part = (word: string): string => `$${encoder.encode(word).length}\r\n${word}\r\n`;
  return encoder.encode(commands.map((words) => `*${words.length}\r\n${words.map(part).join("")}`).join(""));
}

/**
 * Return a function that takes the bytes as they arrive, cut anywhere, and returns the replies that are now complete.
 *
 * It throws what Redis says of an error, and an error if the bytes are no replies.
 */
export function replyReader(): (bytes: Uint8Array) => Reply[] {
  const decoder = new TextDecoder();
  let line: number[] = [];
  return (bytes) => {
    const replies: Reply[] = [];
    for (const byte of bytes) {
      if (byte === LF && line.at(-1) === CR) {
        replies.push(readReply(decoder.decode(new Uint8Array(line.slice(0, -1)))));
        line = [];
      } else if (line.push(byte) > MAX_LINE_BYTES) {
        throw new Error("its reply is not one of Redis: a line is too long");
      }
    }
    return replies;
  };
}

function readReply(line: string): Reply {
  const rest = line.slice(1);
  if (line.startsWith("+")) {
    return rest;
  }
  if (line.startsWith("-")) {
    throw new Error(rest);
  }
  if (/^:-?[0-9]+$/.test(line)) {
    return Number(rest);
  }
  throw new Error("its reply is not one of Redis; is this the port of Redis, and does it expect TLS?");
}
