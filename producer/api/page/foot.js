// The state of the service: asked every few seconds while the page is visible, and shown in the foot.
import { call } from "./api.js";
import { byId, counted } from "./dom.js";

const FIRST_MS = 1000;
const IDLE_MS = 5000;
const BUSY_MS = 1500;

let timer;
let listeners = [];

// The newest answer of GET /v1/overview, or null before the first one.
export let overview = null;

// Resolves when `overview` is there, or its time is over.
let first = null;
export const known = () => Promise.race([first, new Promise((resolve) => setTimeout(resolve, FIRST_MS))]);

export const onOverview = (listener) => listeners.push(listener);

// Asks now, and from then on again and again. Only the first time may it ask for a key.
export async function refreshState({ quiet = true } = {}) {
  clearTimeout(timer);
  try {
    overview = await call("v1/overview", { quiet });
    byId("state").textContent = sentence(overview);
    listeners.forEach((listener) => listener(overview));
  } catch (error) {
    byId("state").textContent = error.status === 0 ? "The server does not answer." : `The state is unknown: ${error.message}`;
  }
  clearTimeout(timer);
  timer = setTimeout(refreshState, overview?.queued ? BUSY_MS : IDLE_MS);
}

export function watchState({ quiet }) {
  addEventListener("newkey", () => refreshState());
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : refreshState()));
  first = refreshState({ quiet });
}

function sentence({ images, queued, delayed, workers, models }) {
  const parts = [
    images ? `${counted(images.done, "image")} can be found` : null,
    images?.failed ? `${images.failed.toLocaleString("en")} failed` : null,
    queued ? `${queued.toLocaleString("en")} in the queue` : "queue empty",
    delayed ? `${delayed.toLocaleString("en")} waiting for a retry` : null,
    workers ? counted(workers, "worker") : "no worker is running",
    models.length ? models.join(", ") : null,
  ];
  return parts.filter(Boolean).join(" · ");
}
