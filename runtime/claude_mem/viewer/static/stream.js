/**
 * What happens now, as server-sent events.
 *
 * An EventSource cannot send a key in a header, so this reads the stream by fetch, and comes back as one would.
 */

import { address, credentials } from "./api.js";

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;

/** The events in a stream's text, which arrives in pieces. */
export class EventParser {
  #rest = "";

  /** @returns {Array<{id: string, event: string, data: any}>} those that are complete */
  push(text) {
    const blocks = (this.#rest + text).replaceAll("\r\n", "\n").split("\n\n");
    this.#rest = blocks.pop();
    return blocks.map(read).filter((event) => event !== null);
  }
}

function read(block) {
  const fields = {};
  for (const line of block.split("\n")) {
    const at = line.indexOf(":");
    if (at > 0) fields[line.slice(0, at)] = line.slice(at + 1).replace(/^ /, "");
  }
  return fields.data === undefined ? null : { id: fields.id, event: fields.event, data: JSON.parse(fields.data) };
}

/**
 * Follow a project, or all that the key sees, until the signal ends it.
 *
 * @param {object} options `projectId`, `signal`; `hear` is called with each event, `tell` with `live` or `waiting`, and `refused`
 *   when the key may not
 */
export async function follow({ projectId, signal, hear, tell, refused }) {
  let last = null;
  let wait = FIRST_WAIT_MS;
  while (!signal.aborted) {
    try {
      const response = await open(projectId, last, signal);
      if (response.status === 401 || response.status === 403) return refused();
      if (response.ok) {
        const parser = new EventParser();
        tell("live");
        for await (const text of pieces(response, signal)) {
          wait = FIRST_WAIT_MS;
          for (const event of parser.push(text)) {
            last = event.id ?? last;
            hear(event);
          }
        }
      }
    } catch (error) {
      if (signal.aborted) return undefined;
      if (!(error instanceof TypeError || error instanceof DOMException || error instanceof SyntaxError)) throw error;
    }
    tell("waiting");
    await pause(wait, signal);
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  }
  return undefined;
}

function open(projectId, last, signal) {
  const url = address("/v1/stream");
  if (projectId) url.searchParams.set("projectId", projectId);
  const headers = { Accept: "text/event-stream", ...credentials() };
  if (last !== null) headers["Last-Event-ID"] = last;
  return fetch(url, { headers, signal, cache: "no-store", credentials: "omit" });
}

async function* pieces(response, signal) {
  const reader = response.body.pipeThrough(new TextDecoderStream(), { signal }).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
