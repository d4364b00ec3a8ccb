// The tiles of the results.
import { el, picture, webUrl } from "./dom.js";
import { shownId } from "./ids.js";

const SIZE = 320;
const SCORE = "Cosine of the search and this image";

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
  const score = el("span", { class: "score", title: SCORE }, el("span", { class: "hidden" }, "Score "), hit.score.toFixed(2));
  return el("li", { class: "tile" },
    link ? el("a", { href: link, target: "_blank", rel: "noopener noreferrer", class: "frame" }, image) : el("span", { class: "frame" }, image),
    score,
    copiesOf(hit),
    el("p", { class: "name", title: name }, name),
    el("p", { class: "acts" },
      button("More like this", `More like this: ${name}`, () => act.like(hit)),
      button("Not", `Not like this: ${name}`, () => act.not(hit))));
}

function copiesOf({ duplicates }) {
  if (!duplicates.length) return null;
  const words = el("span", { class: "hidden" }, duplicates.length === 1 ? " near copy" : " near copies");
  return el("span", { class: "copies", title: duplicates.map(shownId).join("\n") }, `+${duplicates.length}`, words);
}

const button = (shown, name, onclick) => el("button", { type: "button", class: "quiet", "aria-label": name, title: name, onclick }, shown);

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
