import { enqueueByAll } from "./cells.mjs";

console.log(JSON.stringify(await enqueueByAll(process.env)));
