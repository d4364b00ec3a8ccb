// Ties the parts together: the inputs change the state, and the state goes to the address, the chips and the search.
import { listenForUrls } from "./add.js";
import { showChips } from "./chips.js";
import { byId } from "./dom.js";
import { listenForPictures } from "./drop.js";
import { showStart } from "./empty.js";
import { readFilters, setFilters, showFilters } from "./filters.js";
import { onOverview, watchState } from "./foot.js";
import { sameId } from "./ids.js";
import { complain, loadMore, search } from "./results.js";
import { fromAddress, isEmpty, nothing, refinements, toAddress } from "./state.js";
import { moveByArrows } from "./tiles.js";

const TYPING_MS = 300;

let state = fromAddress(location.search);
let typing = null;
let lastWasTyping = false;
const files = []; // the pictures of this tab; an entry of the history holds the index of its own

const act = {
  like: ({ id }) => go({ ...nothing(), fold: state.fold, filters: state.filters, like: id }),
  not: ({ id }) => state.not.some((other) => sameId(other, id)) || go({ ...state, not: [...state.not, id] }),
};
const remove = {
  like: () => go({ ...state, like: null }),
  picture: () => go({ ...state, picture: null }),
  not: (id) => go({ ...state, not: state.not.filter((other) => !sameId(other, id)) }),
};

// A step of its own in the history.
function go(next) {
  clearTimeout(typing);
  lastWasTyping = false;
  state = next;
  history.pushState(entry(), "", toAddress(state));
  show();
  scrollTo({ top: 0 });
}

// While someone types, the history keeps one step.
function type() {
  clearTimeout(typing);
  typing = setTimeout(() => {
    state = fromInputs();
    history[lastWasTyping ? "replaceState" : "pushState"](entry(), "", toAddress(state));
    lastWasTyping = true;
    show();
  }, TYPING_MS);
}

function entry() {
  if (!state.picture?.file) return {};
  if (!files.includes(state.picture)) files.push(state.picture);
  return { file: files.indexOf(state.picture) };
}

function fromInputs() {
  return {
    ...state,
    text: byId("text").value,
    without: byId("without").value,
    min: Number(byId("min").value),
    fold: byId("fold").checked,
    filters: { ...hiddenFilters(), ...readFilters() },
  };
}

// Filters from a link whose inputs are not there yet.
const hiddenFilters = () => (byId("filters").children.length ? {} : state.filters);

function show() {
  toInputs();
  showChips(state, remove);
  document.title = state.text.trim() ? `${state.text.trim()} · clipqueue` : "Image search · clipqueue";
  search(state, act);
}

function toInputs() {
  if (byId("text").value.trim() !== state.text.trim()) byId("text").value = state.text;
  if (byId("without").value.trim() !== state.without.trim()) byId("without").value = state.without;
  byId("min").value = state.min;
  showMin();
  byId("fold").checked = state.fold;
  setFilters(state.filters);
  byId("refined").textContent = refinements(state) ? ` (${refinements(state)})` : "";
}

function showMin() {
  const min = Number(byId("min").value);
  byId("min-shown").value = min ? min.toFixed(2) : "any";
}

function listen() {
  byId("search").addEventListener("submit", (event) => (event.preventDefault(), go(fromInputs())));
  byId("options").addEventListener("submit", (event) => (event.preventDefault(), go(fromInputs())));
  for (const id of ["text", "without", "min", "fold"]) byId(id).addEventListener("input", type);
  byId("min").addEventListener("input", showMin);
  byId("more").addEventListener("click", () => loadMore(state, act));
  addEventListener("popstate", (event) => {
    clearTimeout(typing);
    lastWasTyping = false;
    state = { ...fromAddress(location.search), ...(files[event.state?.file] ? { picture: files[event.state.file] } : {}) };
    show();
  });
  addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key !== "k" || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    byId("text").select();
  });
}

function start() {
  listen();
  moveByArrows(byId("tiles"));
  listenForPictures((picture) => go({ ...state, text: "", like: null, picture }), complain);
  listenForUrls((id) => act.like({ id }));
  onOverview((overview) => {
    showFilters(overview.filter_fields, state.filters, type);
    if (isEmpty(state)) showStart(overview);
  });
  watchState({ quiet: !isEmpty(state) }); // a search asks for the key itself
  byId("refine").open = refinements(state) > 0;
  show();
}

start();
