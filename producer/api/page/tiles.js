// The tiles of the results.
import { el, picture, webUrl } from "./dom.js";
import { shownId } from "./ids.js";

const SIZE = 320;

// What people call an image: the first of these fields that its document has, else its id. An id that is only a number
// in hex, such as one that clipqueue derived from the URL, says less than the name of the file.
export function nameOf({ id, url, fields = {} }) {
  const name = [fields.title, fields.name, fields.caption].find((value) => typeof value === "string" && value.trim());
  return name ?? (/^[0-9a-f]{24,}$/.test(shownId(id)) && fileName(url) || shownId(id));
}

function fileName(url) {
  const last = webUrl(url) && new URL(url).pathname.split("/").at(-1);
  try {
    return last && decodeURIComponent(last);
  } catch {
    return last; // an odd percent sign
  }
}

// `act` has the functions like(hit) and not(hit).
export function tile(hit, act) {
  const name = nameOf(hit);
  const link = webUrl(hit.url);
  const image = picture(hit.url, name, SIZE);
  const copies = hit.duplicates.length;
  return el("li", { class: "tile" },
    link ? el("a", { href: link, target: "_blank", rel: "noopener noreferrer", class: "frame" }, image) : el("span", { class: "frame" }, image),
    el("span", { class: "score", title: "Cosine of the search and this image" }, el("span", { class: "hidden" }, "Score "), hit.score.toFixed(2)),
    copies ? el("span", { class: "copies", title: hit.duplicates.map(shownId).join("\n") }, `+${copies}`, el("span", { class: "hidden" }, copies === 1 ? " near copy" : " near copies")) : null,
    el("p", { class: "name", title: name }, name),
    el("p", { class: "acts" },
      el("button", { type: "button", class: "quiet", "aria-label": `More like this: ${name}`, title: "More like this", onclick: () => act.like(hit) }, "More like this"),
      el("button", { type: "button", class: "quiet", "aria-label": `Not like this: ${name}`, title: "Not like this", onclick: () => act.not(hit) }, "Not")));
}

// Arrow keys move between the pictures, as they are laid out.
export function moveByArrows(list) {
  list.addEventListener("keydown", (event) => {
    const frames = [...list.querySelectorAll("a.frame")];
    const at = frames.indexOf(document.activeElement);
    const columns = getComputedStyle(list).gridTemplateColumns.split(" ").length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    if (at < 0 || !step || !frames[at + step]) return;
    event.preventDefault();
    frames[at + step].focus();
  });
}
