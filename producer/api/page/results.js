// Runs one search at a time and shows its pages. An older answer never replaces a newer one.
import { call, explain } from "./api.js";
import { remember } from "./chips.js";
import { byId, counted, el } from "./dom.js";
import { hideEmpty, showNoHits, showStart } from "./empty.js";
import { suggestFrom } from "./filters.js";
import { known, overview } from "./foot.js";
import { idOf } from "./ids.js";
import { isEmpty, refinements, toRequest } from "./state.js";
import { nameOf, tile } from "./tiles.js";

let running = null; // the AbortController of the newest search
let shown = { hits: 0, folded: 0, next: null };

// Searches anew; `act` is what the buttons of a tile do.
export async function search(state, act) {
  running?.abort();
  running = null;
  complain("");
  if (isEmpty(state)) return clear();
  await run(state, act, null);
}

export async function loadMore(state, act) {
  if (shown.next && !running) await run(state, act, shown.next);
}

async function run(state, act, cursor) {
  const mine = (running = new AbortController());
  busy(true);
  try {
    await known();
    const body = await toRequest(state, overview?.filter_fields ?? [], cursor);
    const answer = await call("v1/search", { body, signal: mine.signal });
    if (running === mine) show(answer, state, act, cursor !== null);
  } catch (error) {
    if (running === mine && error.name !== "AbortError") refuse(error, state, act, cursor);
  } finally {
    if (running === mine) busy((running = null) !== null);
  }
}

function show({ data: found, next }, state, act, isNextPage) {
  complain("");
  const data = found.map((hit) => ({ ...hit, id: idOf(hit), duplicates: (hit.duplicates ?? []).map(idOf) }));
  const list = byId("tiles");
  if (!isNextPage) shown = { hits: 0, folded: 0, next: null };
  data.forEach((hit) => remember(hit.id, hit.url, nameOf(hit)));
  const tiles = data.map((hit) => tile(hit, act));
  if (isNextPage) list.append(...tiles);
  else list.replaceChildren(...tiles);
  shown.hits += data.length;
  shown.folded += data.reduce((sum, hit) => sum + hit.duplicates.length, 0);
  shown.next = next ?? null;
  suggestFrom(data);
  announce(state);
  if (isNextPage) tiles[0]?.querySelector("a, button").focus({ preventScroll: true });
}

// What an earlier search found would look like the answer to this one.
function refuse(error, state, act, cursor) {
  if (cursor === null) {
    forget();
    hideEmpty();
  }
  complain(explain(error), () => run(state, act, cursor));
}

function forget() {
  shown = { hits: 0, folded: 0, next: null };
  byId("tiles").replaceChildren();
  byId("count").textContent = "";
  byId("more").hidden = true;
}

function announce(state) {
  const folded = shown.folded ? `, ${counted(shown.folded, "near copy", "near copies")} folded` : "";
  byId("count").textContent = shown.hits ? `${counted(shown.hits, "image")}${shown.next ? " so far" : ""}${folded}` : "No images";
  byId("more").hidden = !shown.next;
  if (shown.hits) hideEmpty();
  else showNoHits(overview, refinements(state));
}

function clear() {
  forget();
  busy(false);
  showStart(overview);
}

function busy(is) {
  byId("results").setAttribute("aria-busy", String(is));
  byId("more").disabled = is;
}

// Shows a sentence above the results, with a button that tries again; an empty sentence hides it.
export function complain(sentence, again) {
  const banner = byId("banner");
  const retry = again ? el("button", { type: "button", class: "quiet", onclick: again }, "Try again") : null;
  banner.replaceChildren(...(sentence ? [el("span", {}, ...withCode(sentence)), ...(retry ? [retry] : [])] : []));
  banner.hidden = !sentence;
}

// What stands between backticks is a command.
const withCode = (sentence) => sentence.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));
