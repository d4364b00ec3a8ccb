// Builds elements. Strings from a server become text or checked attributes here, never HTML.

export const byId = (id) => document.getElementById(id);

// An attribute that is null, undefined or false is left out; one named on<event> is a listener; strings become text.
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

// A document may hold any string as its URL. Only http and https become a link or an image.
export function webUrl(text) {
  if (typeof text !== "string") return null;
  try {
    return ["http:", "https:"].includes(new URL(text).protocol) ? text : null;
  } catch {
    return null;
  }
}

// An image in a box of fixed size, and a placeholder where it cannot be shown.
export function picture(url, alt, size) {
  const source = webUrl(url) ?? (url?.startsWith?.("blob:") ? url : null);
  const missing = () => el("span", { class: "missing", role: "img", "aria-label": `${alt} (cannot be shown)` });
  if (!source) return missing();
  const image = el("img", { alt, width: size, height: size, loading: "lazy", decoding: "async", referrerpolicy: "no-referrer" });
  image.addEventListener("error", () => image.replaceWith(missing()), { once: true });
  image.src = source;
  return image;
}

export const counted = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
