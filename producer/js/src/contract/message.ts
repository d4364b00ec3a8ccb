/**
 * Builds the Celery message (protocol 2) that kombu's Redis transport expects on a list.
 *
 * It gives the same bytes as producer/contract/message.py. A test compares both.
 */

import { describeArguments, type JobArguments } from "./job.js";
import { compactJson } from "./text.js";

/** The Redis list of the jobs. */
export const IMAGE_QUEUE = "images";
// Serverless functions and edge runtimes have no process id and no name of a host that would mean anything.
const ORIGIN = "gen@javascript";

/** Return the message for a job, as text to LPUSH on the queue. */
export function imageMessage(job: JobArguments, taskId: string): string {
  return messageText(job, taskId, newTag(), ORIGIN);
}

/**
 * Return the message for a job: compact JSON in ASCII.
 *
 * @param taskId The task's id.
 * @param deliveryTag kombu's id of the message; no other message may have it.
 * @param origin Who made the message; Flower shows it.
 */
export function messageText(job: JobArguments, taskId: string, deliveryTag: string, origin: string): string {
  const callbacks = { callbacks: null, errbacks: null, chain: null, chord: null };
  const message = {
    body: btoa(compactJson([[], job, callbacks])),
    "content-encoding": "utf-8",
    "content-type": "application/json",
    headers: {
      lang: "py", // as in Celery's own messages; it says how to read the body, not who wrote it
      task: "clipqueue.embed_image",
      id: taskId,
      shadow: null,
      eta: null,
      expires: null,
      group: null,
      group_index: null,
      retries: 0,
      timelimit: [null, null],
      root_id: taskId,
      parent_id: null,
      argsrepr: "()",
      // Flower and the worker's events show this text, so it must not contain the query of a signed URL.
      kwargsrepr: describeArguments(job),
      origin,
      ignore_result: true,
      replaced_task_nesting: 0,
      stamped_headers: null,
      stamps: {},
    },
    properties: {
      correlation_id: taskId,
      reply_to: "",
      delivery_mode: 2,
      delivery_info: { exchange: "", routing_key: IMAGE_QUEUE },
      priority: 0,
      body_encoding: "base64",
      delivery_tag: deliveryTag,
    },
  };
  return compactJson(message);
}

function newTag(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
