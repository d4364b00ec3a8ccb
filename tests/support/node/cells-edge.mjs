import { enqueueByAll } from "./cells.mjs";

globalThis.run = enqueueByAll;
