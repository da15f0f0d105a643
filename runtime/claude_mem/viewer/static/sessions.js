/** Stretches of an agent's work, the newest first. */

import { call } from "./api.js";
import { h, put } from "./dom.js";
import { duration, words } from "./format.js";
import { badge, empty, head, hearing, pager, passOver, show, when } from "./parts.js";

const text = (value) => (typeof value === "string" ? value.trim() : "");

/** What somebody told the agent last: a session's metadata has room for one prompt. */
export const lastPrompt = (session) => text(session.metadata?.prompt);

/** What a summary says that its session was asked to do. */
export const requestOf = (summary) => text(summary?.metadata?.request);

/**
 * What a session was asked to do, or what else it may be called.
 *
 * @param {object} session as the API has it
 * @param {object} known `request`, of its summary, and `first`, its first prompt, where they are known
 */
export function sessionTitle(session, { request = "", first = "" } = {}) {
  return text(session.metadata?.title) || request || first || lastPrompt(session)
    || (session.agentType ? `${words(session.agentType)} session` : "Session without a prompt");
}

/** Whose it was, when, and how far it is. */
export function sessionLine(session, frame) {
  return h("div.line", {},
    session.endedAtEpoch === null ? badge("Open", "good") : badge("Ended"),
    session.generationStatus === "failed" && badge("Summary failed", "bad"),
    when(session.startedAtEpoch),
    session.endedAtEpoch !== null && h("span", {}, duration(session.endedAtEpoch - session.startedAtEpoch)),
    session.platformSource && h("span", {}, words(session.platformSource)),
    !frame.projectId && h("span", {}, frame.projectName(session.projectId)));
}

export function sessions(frame) {
  const { signal } = frame;
  const body = h("div");
  const list = h("ol.stack");
  const pages = pager(body, () => fetchPage(cursor, requests), add);
  let requests = null;
  let cursor = null;

  async function fetchPage(from, known) {
    const page = await call("GET", "/v1/sessions", { query: { projectId: frame.projectId, cursor: from, limit: 50 }, signal });
    if (page.sessions.length) await known.reach(page.sessions.at(-1).startedAtEpoch).catch(passOver);
    return page;
  }

  function add(page) {
    list.append(...page.sessions.map((session) => h("li", {}, row(session))));
    cursor = page.nextCursor;
    return cursor !== null;
  }

  function load() {
    return show(body, async () => {
      const known = new Requests(frame);
      const page = await fetchPage(null, known);
      return () => {
        requests = known;
        put(list);
        pages.offer(add(page));
        return list.children.length ? [list, pages.holder]
          : empty("No sessions yet", "A session begins when an agent with hooks gets its first prompt.");
      };
    });
  }

  function row(session) {
    const title = sessionTitle(session, { request: requests.of(session) });
    const last = lastPrompt(session);
    return h("article.card.row", {},
      sessionLine(session, frame),
      h("h2", { dir: "auto" }, h("a.clamp", { href: `#/sessions/${encodeURIComponent(session.id)}` }, title)),
      last && last !== title && h("p.quietly.clamp", { dir: "auto" }, "Told last: ", h("bdi", {}, last)));
  }

  load();
  return {
    element: h("div.view", {}, head("Sessions", "What agents were asked to do, and what came of it."), body),
    hear: hearing(body, ({ event }) => { if (event === "reset" || event === "purged") load(); }),
  };
}

/** What summaries say that their sessions were asked: fetched as far back as sessions are shown, a page of them for a page of these. */
class Requests {
  #frame;
  #known = new Map();
  #cursor = null;
  #reached = Infinity;

  constructor(frame) {
    this.#frame = frame;
  }

  /** Fetch more, if a summary of a session that began then may not be here yet. */
  async reach(epoch) {
    if (this.#reached <= epoch) return;
    const query = { projectId: this.#frame.projectId, kind: "summary", cursor: this.#cursor, limit: 200 };
    const { memories, nextCursor } = await call("GET", "/v1/memories", { query, signal: this.#frame.signal });
    for (const memory of memories) {
      // The newest comes first, and counts.
      const request = requestOf(memory);
      if (request && !this.#known.has(memory.serverSessionId)) this.#known.set(memory.serverSessionId, request);
    }
    this.#cursor = nextCursor;
    this.#reached = nextCursor === null ? -Infinity : memories.at(-1).createdAtEpoch;
  }

  /** What a session was asked, as far as that is known. */
  of(session) {
    return this.#known.get(session.id) ?? "";
  }
}
