// Runs a bundle in edge-runtime, the runtime of Vercel's middleware: `node edge.mjs BUNDLE`. The bundle sets the global
// function `run`; its answer for the variables of this process is printed as JSON.
import { readFileSync } from "node:fs";
import { EdgeRuntime } from "edge-runtime";

const runtime = new EdgeRuntime();
runtime.evaluate(readFileSync(process.argv[2], "utf8"));
console.log(JSON.stringify(await runtime.evaluate(`run(${JSON.stringify(process.env)})`)));
