import { enqueueByAll } from "./cells.mjs";

export default { fetch: async (request, env) => Response.json(await enqueueByAll(env)) };
