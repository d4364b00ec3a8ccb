// Pictures that are dropped, pasted or chosen. `found` gets {file, preview} or {url}; `refused` gets a sentence.
import { byId, webUrl } from "./dom.js";

const LARGE_BYTES = 1_000_000;
const SIDE = 1024; // models look at 224 to 512 pixels

export function listenForPictures(found, refused) {
  const take = async (file) => {
    if (file.type.startsWith("image/")) found(await fromFile(file));
    else refused(`${file.name || "This file"} is not a picture.`);
  };
  byId("picture").addEventListener("change", (event) => {
    if (event.target.files.length) take(event.target.files[0]);
    event.target.value = ""; // so that the same file can be chosen again
  });
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find(({ type }) => type.startsWith("image/"));
    if (!file) return;
    event.preventDefault();
    take(file);
  });
  listenForDrops(take, found);
}

function listenForDrops(take, found) {
  const show = (on) => (byId("drop").hidden = !on);
  document.addEventListener("dragover", (event) => {
    if (!carriesPicture(event.dataTransfer)) return;
    event.preventDefault();
    show(true);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || show(false));
  document.addEventListener("dragend", () => show(false));
  document.addEventListener("drop", (event) => {
    show(false);
    if (!carriesPicture(event.dataTransfer)) return;
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    const url = webUrl(event.dataTransfer.getData("text/uri-list").split(/\r?\n/)[0]);
    if (url) found({ url });
    else if (file) take(file);
  });
}

// A picture dragged from another page comes with its address. Text that is dragged into an input is left alone.
const carriesPicture = ({ types }) => types.includes("Files") || types.includes("text/uri-list");

// Photos of phones are large, and the model looks at a small copy: send a small one. What this browser cannot read
// (HEIC, for example) goes as it is, because a worker may.
async function fromFile(file) {
  const small = file.size > LARGE_BYTES ? await shrink(file).catch(() => file) : file;
  return { file: small, preview: URL.createObjectURL(small) };
}

async function shrink(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, SIDE / Math.min(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "white"; // as the workers do with transparent parts
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  return blob ?? file;
}
