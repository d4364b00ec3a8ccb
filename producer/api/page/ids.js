// Image ids. They are strings, or objects of MongoDB's extended JSON: {"$oid": "..."}, {"$numberLong": "5"} and
// {"$uuid": "..."}. The text of an integer is never made a number, which would lose digits.
const KEYS = { oid: "$oid", int: "$numberLong", uuid: "$uuid" };

// The id of something that the API names by {id, type}; the names of copies may be bare strings.
export const idOf = (name) => (typeof name === "string" ? name : name.type ? { [KEYS[name.type]]: name.id } : name.id);

const isPlain = (id) => typeof id === "string" && !/^[{"]/.test(id);

// The form of an id in this page's own address.
export const idText = (id) => (isPlain(id) ? id : JSON.stringify(id));

// The reverse of `idText`.
export function idFrom(text) {
  if (isPlain(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export const sameId = (one, other) => idText(one) === idText(other);

const typeOf = (id) => Object.keys(KEYS).find((type) => typeof id?.[KEYS[type]] === "string");

export const shownId = (id) => (typeof id === "string" ? id : (id?.[KEYS[typeOf(id)]] ?? JSON.stringify(id)));

// The path of an image in the API. Slashes are encoded too, so that the browser resolves no ".." in an id.
export const imagePath = (id) => `v1/images/${encodeURIComponent(shownId(id))}${typeof id === "string" ? "" : `?type=${typeOf(id)}`}`;
