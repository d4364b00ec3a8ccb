// Answers questions of tests/support/contract_cases.py: a list of jobs on each line of the input, a list of answers on
// each line of the output.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [folder, fixedText] = process.argv.slice(2);
const fixed = JSON.parse(fixedText);
const contract = (name) => import(pathToFileURL(`${folder}/dist/esm/contract/${name}.js`));
const [{ parseImageId }, { messageText }, { checkUrl, redactText, redactUrl }] = await Promise.all(
  ["job", "message", "urls"].map(contract),
);

function answer({ image_id, url, force }) {
  const shown = { url: redactUrl(url), text: redactText(url) };
  try {
    const imageId = parseImageId(image_id);
    checkUrl(url);
    const job = { imageId, url, enqueuedAtMs: fixed.enqueued_at, force };
    return { message: messageText(job, fixed.task_id, fixed.delivery_tag, fixed.origin), shown };
  } catch (error) {
    if (error.name !== "InvalidJob") throw error;
    return { error: error.message, shown };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(JSON.parse(line).map(answer))}\n`);
}
