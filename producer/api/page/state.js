// The state of a search, its form in the page's address, and the request that it stands for.
import { idFrom, idText } from "./ids.js";

export const PAGE_SIZE = 24;
const NEAR_COPY = 0.97;

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
  const clauses = Object.entries(filters).map(([field, { op, value }]) => ({ [field]: condition(op, value) }));
  if (!clauses.length) return null;
  return clauses.length === 1 ? clauses[0] : { $and: clauses };
}

// A stored value may be a string, a number, a boolean or a date, and the page does not know which. So "is" asks for
// every value that the text can mean; the order of values only makes sense for one type, the most special that fits.
function condition(op, text) {
  const readings = readingsOf(text.trim());
  if (op === "is") return { $in: readings };
  return { [op === "min" ? "$gte" : "$lte"]: readings.at(-1) };
}

function readingsOf(text) {
  const readings = [text];
  if (text === "true" || text === "false") readings.push(text === "true");
  if (text !== "" && Number.isFinite(Number(text))) readings.push(Number(text));
  if (/^\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d)?)?$/.test(text) && !Number.isNaN(Date.parse(text)))
    readings.push({ $date: new Date(text).toISOString() });
  return readings;
}

async function base64(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let binary = "";
  for (let start = 0; start < bytes.length; start += 32768) binary += String.fromCharCode(...bytes.subarray(start, start + 32768));
  return btoa(binary);
}
