// The pictures that a search starts from or keeps away from, each with a button that removes it.
import { call } from "./api.js";
import { byId, el, picture } from "./dom.js";
import { idText, imagePath, shownId } from "./ids.js";

const known = new Map(); // id -> {url, name}, from results; a search from a link looks them up

export const remember = (id, url, name) => known.set(idText(id), { url, name });

// `remove` has the functions like(), picture() and not(id).
export function showChips(state, remove) {
  const chips = [];
  if (state.like !== null) chips.push(stored("Like", state.like, remove.like));
  else if (state.picture) chips.push(own(state.picture, remove.picture));
  for (const id of state.not) chips.push(stored("Not like", id, () => remove.not(id)));
  byId("chips").replaceChildren(...chips);
  byId("chips").hidden = !chips.length;
}

function own({ url, preview }, remove) {
  return chip("Like", picture(preview ?? url, "", 36), preview ? "your picture" : "the linked picture", remove);
}

function stored(kind, id, remove) {
  const { url, name } = known.get(idText(id)) ?? {};
  const node = chip(kind, picture(url, "", 36), name ?? shownId(id), remove);
  if (!known.has(idText(id))) lookUp(id, node);
  return node;
}

function chip(kind, image, name, remove) {
  image.setAttribute("aria-hidden", "true");
  return el("li", { class: kind === "Like" ? "chip" : "chip against" }, image, el("span", {}, `${kind} `, el("b", {}, name)),
    el("button", { type: "button", class: "quiet", "aria-label": `Remove: ${kind} ${name}`, onclick: remove }, "×"));
}

async function lookUp(id, node) {
  try {
    const { url } = await call(imagePath(id), { quiet: true });
    remember(id, url, shownId(id));
    const image = picture(url, "", 36);
    image.setAttribute("aria-hidden", "true");
    node.firstChild.replaceWith(image);
  } catch {
    // The search itself says what is wrong with this id.
  }
}
