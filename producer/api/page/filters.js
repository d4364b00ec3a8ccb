// The inputs for the fields that the operator has declared for filters.
import { byId, el } from "./dom.js";

const OPS = [["is", "is"], ["min", "at least"], ["max", "at most"]];
const SUGGESTED = 30;

const seen = new Map(); // the values of each field in the results so far, which its input suggests

// Makes the inputs once; `changed` is called when one of them changes.
export function showFilters(fields, filters, changed) {
  const box = byId("filters");
  if (box.dataset.fields === fields.join("\n")) return;
  box.dataset.fields = fields.join("\n");
  box.replaceChildren(...fields.map((field) => row(field, changed)));
  setFilters(filters);
}

function row(field, changed) {
  const options = OPS.map(([value, shown]) => el("option", { value }, shown));
  const op = el("select", { "aria-label": `How to compare ${field}`, onchange: changed }, ...options);
  const list = `seen-${field}`;
  const input = el("input", { id: `filter-${field}`, type: "text", autocomplete: "off", list, oninput: changed });
  const label = el("label", { for: input.id }, field);
  const node = el("p", { class: "option filter" }, label, op, input, el("datalist", { id: list }));
  node.dataset.field = field;
  return node;
}

export function readFilters() {
  const filters = {};
  for (const node of byId("filters").children) {
    const value = node.querySelector("input").value.trim();
    if (value) filters[node.dataset.field] = { op: node.querySelector("select").value, value };
  }
  return filters;
}

export function setFilters(filters) {
  for (const node of byId("filters").children) {
    const { op = "is", value = "" } = filters[node.dataset.field] ?? {};
    const input = node.querySelector("input");
    node.querySelector("select").value = op;
    if (input.value.trim() !== value) input.value = value;
  }
}

export function suggestFrom(hits) {
  for (const node of byId("filters").children) {
    const values = seen.get(node.dataset.field) ?? new Set();
    seen.set(node.dataset.field, values);
    hits.flatMap((hit) => hit.fields?.[node.dataset.field] ?? []).forEach((value) => values.add(shown(value)));
    const options = [...values].slice(0, SUGGESTED).map((value) => el("option", { value }));
    node.querySelector("datalist").replaceChildren(...options);
  }
}

const shown = (value) => (typeof value === "object" ? String(value.$date ?? JSON.stringify(value)) : String(value));
