// What the page says where there are no results: before the first search, without images, and when nothing fits.
import { openAdd } from "./add.js";
import { byId, counted, el } from "./dom.js";

const HEADING = "Search by what a picture shows";
const TOO_NARROW = "No image fits all the conditions. Lower the score or remove a filter.";
const HOW = "Type a few words, or drop, paste or choose a picture.";

const add = () => el("button", { type: "button", onclick: openAdd }, "Add images");

export function showStart(overview) {
  if (!overview) return show();
  if (!overview.images) return show(el("h2", {}, HEADING), el("p", {}, HOW));
  if (!overview.workers && !overview.images.done) return show(...noWorker());
  if (!overview.images.done) return show(...noImages(overview));
  return show(el("h2", {}, HEADING),
    el("p", {}, `${HOW} ${counted(overview.images.done, "image")} can be found.`),
    waiting(overview));
}

export function showNoHits(overview, refinements) {
  show(el("h2", {}, "Nothing found"),
    el("p", {}, refinements ? TOO_NARROW : "No stored image has a vector of this model yet."),
    overview?.images ? waiting(overview) : null,
    overview?.images?.done === 0 ? add() : null);
}

export const hideEmpty = () => show();

function noImages({ images }) {
  return [el("h2", {}, images.pending ? "The first images are on their way" : "There is nothing to search yet"),
    images.pending ? el("p", {}, `${counted(images.pending, "image")} ${images.pending === 1 ? "waits" : "wait"} for a vector.`)
      : el("p", {}, "Add the URLs of a few images, here or from a terminal:"),
    images.pending ? null : el("pre", {}, el("code", {}, "clipqueue enqueue https://example.com/photo.jpg")),
    add()];
}

function noWorker() {
  return [el("h2", {}, "No worker is running"),
    el("p", {}, "A worker turns images and searches into vectors. Start one on any machine that reaches this Redis and MongoDB:"),
    el("pre", {}, el("code", {}, "celery -A worker.app worker")), add()];
}

// Images without a vector cannot be found; say how many there are.
function waiting({ images }) {
  const parts = [];
  if (images.pending) parts.push(`${counted(images.pending, "image")} ${images.pending === 1 ? "has" : "have"} no vector yet`);
  if (images.failed) parts.push(`${counted(images.failed, "image")} failed`);
  return parts.length ? el("p", { class: "faint" }, `${parts.join(", ")}.`) : null;
}

function show(...children) {
  byId("empty").replaceChildren(...children.filter(Boolean));
  byId("empty").hidden = !children.length;
}
