// The dialog that enqueues URLs, and watches each until it is done or has failed.
import { call, explain } from "./api.js";
import { remember } from "./chips.js";
import { byId, el, picture } from "./dom.js";
import { idOf, imagePath, shownId } from "./ids.js";
import { refreshState } from "./foot.js";

const POLL_MS = 700;
const MOST = 500; // as many as the API takes at once

const watched = []; // {id, url, node, status}
let watching = false;

// `searchLike` starts a search by an image's id.
export function listenForUrls(searchLike) {
  byId("open-add").addEventListener("click", openAdd);
  byId("enqueue").addEventListener("submit", async (event) => {
    event.preventDefault();
    const urls = [...new Set(byId("urls").value.split(/\s+/).filter(Boolean))];
    if (urls.length) await enqueue(urls, searchLike);
  });
}

export function openAdd() {
  byId("add").showModal();
  byId("urls").focus();
}

async function enqueue(urls, searchLike) {
  complain("");
  if (urls.length > MOST) return complain(`These are ${urls.length} URLs. Add at most ${MOST} at once.`);
  try {
    const { data } = await call("v1/images", { body: { images: urls.map((url) => ({ url })) } });
    byId("urls").value = "";
    data.forEach((job, index) => watch(idOf(job), urls[index], searchLike));
    refreshState();
    return await poll();
  } catch (error) {
    return complain(explain(error));
  }
}

function complain(sentence) {
  byId("add-error").textContent = sentence;
  byId("add-error").hidden = !sentence;
}

function watch(id, url, searchLike) {
  const node = el("li", { class: "added" });
  byId("added").prepend(node);
  const entry = { id, url, node, searchLike };
  watched.push(entry);
  show(entry, { status: "pending" });
}

async function poll() {
  if (watching) return;
  watching = true;
  for (let waiting = pending(); waiting.length; waiting = pending()) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    for (const entry of waiting.slice(0, 20)) await ask(entry);
  }
  watching = false;
  refreshState();
}

const pending = () => watched.filter(({ status }) => status !== "done" && status !== "failed");

async function ask(entry) {
  try {
    show(entry, await call(imagePath(entry.id)));
  } catch (error) {
    if (error.status === 404) show(entry, { status: "failed", error }); // anything else passes
  }
}

function show(entry, { status, error }) {
  if (entry.status === status) return;
  entry.status = status;
  const names = { pending: "queued", done: "done", failed: "failed" };
  const like = () => {
    remember(entry.id, entry.url, shownId(entry.id));
    byId("add").close();
    entry.searchLike(entry.id);
  };
  entry.node.className = `added ${status}`;
  entry.node.replaceChildren(
    status === "done" ? picture(entry.url, "", 40) : el("span", { class: "missing", "aria-hidden": "true" }),
    el("span", { class: "url" }, entry.url),
    el("span", { class: "status" }, names[status] ?? status),
    ...(status === "done" ? [likeButton(entry.url, like)] : []),
    ...(status === "failed" ? [el("span", { class: "reason" }, error?.message ?? "no reason given")] : []));
  countAdded();
}

const likeButton = (url, onclick) =>
  el("button", { type: "button", class: "quiet", "aria-label": `More like this: ${url}`, onclick }, "More like this");

function countAdded() {
  const done = watched.filter(({ status }) => status === "done").length;
  const failed = watched.filter(({ status }) => status === "failed").length;
  const waiting = watched.length - done - failed;
  const parts = [[waiting, "queued"], [done, "done"], [failed, "failed"]].filter(([count]) => count);
  byId("added-count").textContent = parts.map(([count, status]) => `${count} ${status}`).join(", ");
  byId("open-add").textContent = waiting ? `Add images (${waiting} queued)` : "Add images";
}
