// The state of a search, its form in the page's address, and the request that it stands for.
import { idFrom, idText } from "./ids.js";

export const PAGE_SIZE = 24;
const NEAR_COPY = 0.97;
const DAY_MS = 86_400_000;

// `picture` is null, {url} or {file, preview}. `like` is null or an image id, `not` a list of ids.
// `filters` maps the name of a field to {op, value}, where op is "is", "min" or "max".
export const nothing = () => ({
  text: "", like: null, picture: null, not: [], without: "", min: 0, fold: true, filters: {},
});

export const isEmpty = (state) => !state.text.trim() && state.like === null && !state.picture;

// How many of the options under "Refine" are in use.
export const refinements = (state) =>
  (state.without.trim() ? 1 : 0) + (state.min > 0 ? 1 : 0) + (state.fold ? 0 : 1) + Object.keys(state.filters).length;

// The address of a search. A picture from a file has none: it stays in this tab.
export function toAddress(state) {
  const params = new URLSearchParams();
  if (state.text) params.set("q", state.text);
  if (state.like !== null) params.set("like", idText(state.like));
  if (state.picture?.url) params.set("image", state.picture.url);
  for (const id of state.not) params.append("not", idText(id));
  if (state.without) params.set("without", state.without);
  if (state.min > 0) params.set("min", String(state.min));
  if (!state.fold) params.set("copies", "1");
  for (const [field, { op, value }] of Object.entries(state.filters)) params.set(`f.${field}`, `${op}:${value}`);
  return params.size ? `?${params}` : location.pathname;
}

export function fromAddress(query) {
  const params = new URLSearchParams(query);
  const min = Number(params.get("min"));
  const image = params.get("image");
  return {
    ...nothing(),
    text: params.get("q") ?? "",
    like: params.has("like") ? idFrom(params.get("like")) : null,
    picture: image ? { url: image } : null,
    not: params.getAll("not").map(idFrom),
    without: params.get("without") ?? "",
    min: min > 0 && min <= 1 ? min : 0,
    fold: !params.has("copies"),
    filters: filtersFrom(params),
  };
}

function filtersFrom(params) {
  const filters = {};
  for (const [name, condition] of params) {
    const [, op, value] = /^(is|min|max):(.+)$/s.exec(condition) ?? [];
    if (name.startsWith("f.") && op) filters[name.slice(2)] = { op, value };
  }
  return filters;
}

// The body of POST /v1/search.
export async function toRequest(state, fields, cursor) {
  const body = { limit: PAGE_SIZE, fields };
  if (state.text.trim()) body.text = state.text.trim();
  if (state.like !== null) body.image = { id: state.like };
  else if (state.picture) body.image = state.picture.url ? { url: state.picture.url } : { bytes: await base64(state.picture.file) };
  const not = [...state.not.map((id) => ({ id })), ...(state.without.trim() ? [state.without.trim()] : [])];
  if (not.length) body.not = not;
  if (state.min > 0) body.min_score = state.min;
  if (state.fold) body.dedupe = NEAR_COPY;
  const filter = toFilter(state.filters);
  if (filter) body.filter = filter;
  if (cursor) body.cursor = cursor;
  return body;
}

export function toFilter(filters) {
  const clauses = Object.entries(filters).map(([field, { op, value }]) => {
    const meanings = meaningsOf(op, value.trim()).map((condition) => ({ [field]: condition }));
    return meanings.length === 1 ? meanings[0] : { $or: meanings };
  });
  if (!clauses.length) return null;
  return clauses.length === 1 ? clauses[0] : { $and: clauses };
}

// A stored value may be a string, a number, a boolean or a date, and the page does not know which. So it asks for all
// that the text can mean. MongoDB only compares values of one type, so the other meanings match nothing.
function meaningsOf(op, text) {
  const name = { is: "$eq", min: "$gte", max: "$lte" }[op];
  const meanings = [{ [name]: text }];
  if (op === "is" && (text === "true" || text === "false")) meanings.push({ $eq: text === "true" });
  if (Number.isFinite(Number(text))) meanings.push({ [name]: Number(text) });
  const day = /^\d{4}-\d\d-\d\d$/.test(text) && Date.parse(text);
  if (day) meanings.push(withinDay(op, day));
  return meanings;
}

// A day counts as a whole: "at most" includes it.
function withinDay(op, day) {
  const date = (time) => ({ $date: new Date(time).toISOString() });
  return { ...(op === "max" ? {} : { $gte: date(day) }), ...(op === "min" ? {} : { $lt: date(day + DAY_MS) }) };
}

async function base64(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let binary = "";
  for (let start = 0; start < bytes.length; start += 32768) binary += String.fromCharCode(...bytes.subarray(start, start + 32768));
  return btoa(binary);
}
