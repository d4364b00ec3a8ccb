// Answers questions of tests/support/contract_cases.py: a list of jobs on each line of the input, a list of answers on
// each line of the output. It is bundled with the sources of the package, which do not export these functions.
import { createInterface } from "node:readline";
import { parseImageId } from "clipqueue-source/contract/ids.ts";
import { messageText } from "clipqueue-source/contract/message.ts";
import { traceJson } from "clipqueue-source/contract/trace.ts";
import { checkUrl, redactText, redactUrl } from "clipqueue-source/contract/urls.ts";

const fixed = JSON.parse(process.argv[2]);

function answer({ image_id, url, force, trace }) {
  const shown = { url: redactUrl(url), text: redactText(url) };
  try {
    const imageId = parseImageId(image_id);
    checkUrl(url);
    const job = { imageId, url, enqueuedAtMs: fixed.enqueued_at, force, trace: traceJson(trace) };
    return { message: messageText(job, fixed.task_id, fixed.delivery_tag, fixed.origin), shown };
  } catch (error) {
    if (error.name !== "InvalidJob") throw error;
    return { error: error.message, shown };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(JSON.parse(line).map(answer))}\n`);
}
