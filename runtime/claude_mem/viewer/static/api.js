/**
 * The HTTP API, with the key of this tab.
 *
 * The key stays in the tab's session storage and goes out in one header; it is in no URL and in no other storage.
 */

const STORED = "claude-mem.key";

/** What the server says of a key that is unknown, has ended, or lacks a scope begins with this. */
export const INVALID = "Invalid API key";

/** Where the server is: above these files, whatever prefix a proxy puts before both. */
const ROOT = new URL("../", import.meta.url);

/** The address of a path of the API, such as `/v1/memories`. */
export const address = (path) => new URL(path.slice(1), ROOT);

/** What the server refused, or that it could not be reached: `message` is for people. */
export class ApiError extends Error {
  /** @param {number} status 0 where there was no answer */
  constructor(status, code, message) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
  }
}

/** Raised when the key has ended, and the person has to sign in again. */
export class SignedOut extends Error {
  constructor(message) {
    super(message);
    this.name = "SignedOut";
  }
}

let key = sessionStorage.getItem(STORED) ?? "";

/** Who is there: another number once somebody signed out by hand, or came with a key. A key that ended is still its owner's. */
let person = 0;

export const hasKey = () => key !== "";
export const keyStart = () => key.slice(0, 10);

export function keep(raw) {
  key = raw;
  person += 1;
  sessionStorage.setItem(STORED, raw);
}

export function forget() {
  key = "";
  sessionStorage.removeItem(STORED);
}

/** What is still under way is for nobody who comes now. */
export function part() {
  person += 1;
}

/** The headers that say who asks. */
export function credentials() {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/**
 * Ask the API.
 *
 * @param {string} method such as `GET`
 * @param {string} path such as `/v1/memories`
 * @param {object} options `query` and `body` as plain values, and a `signal`
 * @returns {Promise<object>} the answer; an AbortError if it is not for who is there by then: nobody is shown what another asked for,
 *   nor signed out because another's key was refused
 */
export async function call(method, path, { query = {}, body, signal } = {}) {
  const [asking, by] = [person, key];
  try {
    const answer = await exchange(method, path, { query, body, signal });
    if (person === asking) return answer;
  } catch (error) {
    if (person === asking && key === by) throw error;
  }
  throw new DOMException("Who asked is not there any more.", "AbortError");
}

async function exchange(method, path, { query, body, signal }) {
  const response = await send(method, path, { query, body, signal });
  if (response.ok) return content(response);
  const error = await refusal(response);
  if (response.status === 401 || (response.status === 403 && (await hasEnded(signal)))) throw new SignedOut(error.message);
  // The server says the same of a key that it does not know and of one that may not do this.
  if (response.status === 403 && error.message.startsWith(INVALID)) error.message = "This key may not do that: it lacks a scope.";
  throw error;
}

async function send(method, path, { query, body, signal }) {
  const url = address(path);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  const headers = { Accept: "application/json", ...credentials() };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(url, {
      method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store",
      credentials: "omit", redirect: "error",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "Unreachable", "The server cannot be reached. Look whether it runs, then try again.");
  }
}

async function content(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(response.status, "Unreadable", "The answer is not the server’s, or was cut off: look at what stands before it, then try again.");
  }
}

async function refusal(response) {
  let said = {};
  try {
    said = await response.json();
  } catch {
    // A proxy may have answered, with a page of its own.
  }
  const issues = Array.isArray(said.issues) ? said.issues.map((issue) => issue.message).join("; ") : "";
  return new ApiError(response.status, said.error ?? "Error", explained(response, said.message || issues));
}

function explained(response, message) {
  const wait = response.headers.get("Retry-After");
  if (response.status === 503) return "The server’s database does not answer. Nothing is lost; try again in a moment.";
  if (response.status === 429) return `Too many requests: ${wait ? `wait ${wait} s` : "wait a little"}, then try again.`;
  if (response.status === 404) return message || "That is not there any more.";
  return message || `The server answered ${response.status}.`;
}

/** Whether a 403 was about the key itself, and not about what it may do. */
async function hasEnded(signal) {
  if (!key) return false;
  const probe = await send("GET", "/v1/projects", { query: { limit: 1 }, signal });
  return probe.status === 401 || probe.status === 403;
}

/** Every entry of a listing by cursor, up to `most`. */
export async function all(path, member, { query = {}, signal, most = 1000 } = {}) {
  const found = [];
  let cursor = null;
  do {
    const page = await call("GET", path, { query: { ...query, limit: 200, cursor }, signal });
    found.push(...page[member]);
    cursor = page.nextCursor;
  } while (cursor && found.length < most);
  return found;
}
