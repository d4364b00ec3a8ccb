// The dialog that asks for the API key. Calls that are refused at the same time share one question.
import { byId } from "./dom.js";

let asking = null;

// Returns the key, or null if the dialog was cancelled.
export function askForKey(wasWrong) {
  asking ??= ask(wasWrong).finally(() => (asking = null));
  return asking;
}

function ask(wasWrong) {
  const dialog = byId("key");
  const field = byId("key-value");
  byId("key-why").textContent = wasWrong
    ? "The server did not accept this key. Try another one."
    : "This server asks for a key. It is kept until you close this tab.";
  field.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    const answer = () => (dialog.returnValue === "use" && field.value.trim()) || null;
    dialog.addEventListener("close", () => resolve(answer()), { once: true });
  });
}
