// Calls the API. Addresses are relative to the page, so that a proxy may serve it under a prefix.
import { askForKey } from "./key.js";

const KEY = "clipqueue-api-key";
const NO_WORKER =
  "No worker is running, so nothing can become a vector. Start one with `clipqueue up`, or on another machine with the " +
  "same Redis, then try again.";

// What the API answered, or status 0 if there was no answer.
export class ApiError extends Error {
  constructor(status, code, message, param = null) {
    super(param ? `${param}: ${message}` : message);
    this.status = status;
    this.code = code;
  }
}

// Returns the JSON of the answer. Asks for the key when the server wants one, unless the call is quiet.
export async function call(path, { body, signal, quiet = false } = {}) {
  for (let refused = false; ; refused = true) {
    const used = sessionStorage.getItem(KEY);
    const response = await send(path, body, signal, used);
    if (response.status !== 401) return answerOf(response);
    if (quiet || !(await newKey(used, refused || used !== null))) throw await errorOf(response);
  }
}

function send(path, body, signal, key) {
  const headers = { Accept: "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body) headers["Content-Type"] = "application/json";
  const request = { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal };
  return fetch(new URL(path, document.baseURI), request).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "no answer");
  });
}

async function answerOf(response) {
  if (!response.ok) throw await errorOf(response);
  return response.json().catch(() => {
    throw new ApiError(response.status, "no_json", "the answer is not JSON");
  });
}

async function errorOf(response) {
  const { error } = await response.json().catch(() => ({}));
  return new ApiError(response.status, error?.code ?? error?.type ?? "", error?.message ?? response.statusText, error?.param);
}

// Another call may have got the key while this one waited for its refusal.
async function newKey(used, wasWrong) {
  if (sessionStorage.getItem(KEY) !== used) return true;
  const key = await askForKey(wasWrong);
  if (key === null) return false;
  sessionStorage.setItem(KEY, key);
  dispatchEvent(new Event("newkey"));
  return true;
}

// What went wrong and what to do, in words for whoever looks at the page.
export function explain(error) {
  const { status, code, message } = error;
  if (status === 0) return "The server does not answer. Check that `clipqueue serve` is running, then try again.";
  if (status === 401) return "The server did not accept the API key. Ask its operator for a key, then reload this page.";
  if (status === 413) return "This picture is too large for the server. Try a smaller one.";
  if (status === 429) return "Too many searches are waiting. Try again in a few seconds.";
  if (code === "no_worker") return NO_WORKER;
  if (status === 503) return `The service is not ready: ${message}`;
  if (status === 504) return "No worker answered in time. They may be busy with a large batch. Try again.";
  if (status === 404) return `This image is not among the stored ones any more, or has no vector yet: ${message}`;
  return status >= 500 ? `The server failed (${status}): ${message}` : message;
}
