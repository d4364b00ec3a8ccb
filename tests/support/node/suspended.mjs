// An instance that a platform suspends between two requests: its connections die meanwhile. HOW says whether the other
// side `closed` them or they became `silent`. `POST` uploads once before and twice after.
import net from "node:net";

const pairs = new Set();

for (const name of ["REDIS_URL", "UPSTASH_REDIS_REST_URL"]) {
  const url = new URL(process.env[name]);
  url.port = await startRelay(Number(url.port));
  process.env[name] = url.href;
}
const { POST: upload } = await import(process.env.UPLOAD);

export async function POST(request) {
  const states = [await stateAfter(request)];
  const dead = [...pairs];
  for (const pair of dead) process.env.HOW === "closed" ? pair.client.destroy() : (pair.isSilent = true);
  states.push(await stateAfter(request), await stateAfter(request));
  return Response.json({ dead: dead.length, states });
}

async function stateAfter(request) {
  const answer = await upload(request.clone());
  return (await answer.json()).status;
}

/** Relay connections to a port of this machine; return the relay's port. */
async function startRelay(port) {
  const relay = net.createServer((client) => {
    const pair = { client, isSilent: false };
    pairs.add(pair);
    const server = net.connect(port, "127.0.0.1");
    client.on("data", (part) => pair.isSilent || server.write(part));
    server.on("data", (part) => pair.isSilent || client.write(part));
    for (const [socket, other] of [[client, server], [server, client]]) {
      socket.on("error", () => {});
      socket.on("close", () => other.destroy());
    }
  });
  await new Promise((resolve) => relay.listen(0, "127.0.0.1", resolve));
  return relay.address().port;
}
