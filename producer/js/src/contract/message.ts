/**
 * Builds the Celery message (protocol 2) that kombu's Redis transport expects on a list.
 *
 * It gives the same bytes as producer/contract/message.py. A test compares both.
 */

import { argumentsJson, type CheckedJob, describeJob } from "./job.js";
import { asciiJson } from "./text.js";

/** The Redis list of the jobs. */
export const IMAGE_QUEUE = "images";
// Serverless functions and edge runtimes have no process id and no name of a host that would mean anything.
const ORIGIN = "gen@javascript";

const CALLBACKS = '{"callbacks":null,"errbacks":null,"chain":null,"chord":null}';

/** Return the message for a job, as text to LPUSH on the queue. */
export function imageMessage(job: CheckedJob, taskId: string): string {
  // As kombu's own tags. In Node it is ten times faster than getRandomValues.
  return messageText(job, taskId, crypto.randomUUID().replaceAll("-", ""), ORIGIN);
}

/**
 * Return the message for a job: compact JSON in ASCII. The last three texts must need no escapes.
 *
 * It is written as text, because building an object for each message takes three times as long. `kwargsrepr` is shown
 * by Flower and in the worker's events, so it must not contain the query of a signed URL. `lang` is as in Celery's own
 * messages: it says how to read the body, not who wrote it.
 *
 * @param taskId The task's id.
 * @param deliveryTag kombu's id of the message; no other message may have it.
 * @param origin Who made the message; Flower shows it.
 */
export function messageText(job: CheckedJob, taskId: string, deliveryTag: string, origin: string): string {
  const body = btoa(`[[],${argumentsJson(job)},${CALLBACKS}]`);
  return (
    `{"body":"${body}","content-encoding":"utf-8","content-type":"application/json","headers":{"lang":"py",` +
    `"task":"clipqueue.embed_image","id":"${taskId}","shadow":null,"eta":null,"expires":null,"group":null,` +
    `"group_index":null,"retries":0,"timelimit":[null,null],"root_id":"${taskId}","parent_id":null,"argsrepr":"()",` +
    `"kwargsrepr":${asciiJson(describeJob(job))},"origin":"${origin}","ignore_result":true,` +
    `"replaced_task_nesting":0,"stamped_headers":null,"stamps":{}${job.trace}},"properties":{"correlation_id":"${taskId}",` +
    `"reply_to":"","delivery_mode":2,"delivery_info":{"exchange":"","routing_key":"${IMAGE_QUEUE}"},"priority":0,` +
    `"body_encoding":"base64","delivery_tag":"${deliveryTag}"}}`
  );
}
