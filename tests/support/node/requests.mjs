// Sends requests to a function of a module, as a platform would, and prints the answers as JSON:
// `node requests.mjs MODULE '[["GET", "/search?q=cat", null], ...]'`. The function has the name of the method.
const [, , path, requests] = process.argv;
const module = await import(path);

const answers = [];
for (const [method, target, body] of JSON.parse(requests)) {
  const request = new Request(new URL(target, "https://shop.example"), { method, body });
  const answer = await module[method](request);
  answers.push({ status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.json() });
}
console.log(JSON.stringify(answers));
process.exit(); // connections of the module may still be open
