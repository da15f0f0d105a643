/** A session's story: what was asked, what was done, what was learned from it. */

import { all, call } from "./api.js";
import { h, put } from "./dom.js";
import { prompt, step } from "./events.js";
import { clock } from "./format.js";
import { memoryCard } from "./memories.js";
import { backLink, empty, fetchFor, head, hearing, longText, pager, passOver, show } from "./parts.js";
import { lastPrompt, requestOf, sessionLine, sessionTitle } from "./sessions.js";

const REFRESH_MS = 400;

export function session(frame, { id }) {
  const { signal } = frame;
  const path = `/v1/sessions/${encodeURIComponent(id)}`;
  const about = h("div");
  const body = h("div");
  const list = h("ol.story");
  const pages = pager(body, () => fetchPage(), add);
  let cursor = null;
  let whole = false;
  let looking = null;
  let first;
  const seen = new Set();
  const memories = new Map();

  const fetchPage = () => call("GET", `${path}/timeline`, { query: { cursor, limit: 100 }, signal });

  function add(page) {
    for (const entry of page.entries) {
      if (!seen.has(entry.id)) list.append(h(`li.${TYPES[entry.type]}`, {}, shown(entry)));
      seen.add(entry.id);
      if (entry.type === "prompt") first ??= entry.text;
    }
    tell(page.session);
    cursor = page.nextCursor ?? cursor;
    whole = page.nextCursor === null;
    return !whole;
  }

  /** What it is called and how it stands; what it was told last, where its prompts are not in the story. */
  function tell(session) {
    const summary = [...memories.values()].find((memory) => memory.kind === "summary");
    const title = sessionTitle(session, { request: requestOf(summary), first });
    const last = lastPrompt(session);
    frame.named(title);
    put(about, h("div.stack", {},
      h("p.lead.clamp", { dir: "auto" }, title),
      sessionLine(session, frame),
      first === undefined && last && last !== title && h("div.card", {}, longText(last))));
  }

  /** The memories and the next page. Returns: what shows both, behind what is shown. */
  async function further() {
    const found = await all("/v1/memories", "memories", { query: { serverSessionId: id }, signal });
    const page = await fetchPage();
    return () => {
      for (const memory of found) memories.set(memory.id, memory);
      pages.offer(add(page));
      return list.children.length ? [list, pages.holder]
        : empty("Nothing happened yet", "What the agent does, and what is learned from it, appears here.");
    };
  }

  const load = () => show(body, further);

  /** What came since. */
  function refresh() {
    return fetchFor(body, further, (enter) => {
      const found = enter();
      if (!list.isConnected) put(body, found);
    });
  }

  function shown(entry) {
    if (entry.type === "observation" || entry.type === "summary") return made(entry);
    return entry.type === "prompt" ? prompt(entry, frame, clock) : step(entry, frame, clock);
  }

  /** A memory in full; of a session with very many, what the story itself says of it. */
  function made(entry) {
    const brief = { ...entry, content: entry.text, metadata: { title: entry.title }, createdAtEpoch: entry.atEpoch };
    return memoryCard(memories.get(entry.id) ?? brief, frame, { level: "h2", story: true });
  }

  function hear({ event, data }) {
    if (!whole) return;
    const mine = event === "observation" && data.change === "created" && data.observation?.serverSessionId === id;
    if (mine || (event === "job" && data.generationJob.serverSessionId === id)) soon();
  }

  /** A burst of news is one look. */
  function soon() {
    looking ??= setTimeout(() => {
      looking = null;
      if (!signal.aborted) refresh().catch(passOver);
    }, REFRESH_MS);
  }

  load();
  return {
    element: h("div.view", {},
      backLink(frame, "sessions", "All sessions"), head("Session", null), about, body),
    hear: hearing(body, hear),
    gone: (memoryId) => list.querySelector(`[data-id="${CSS.escape(memoryId)}"]`)?.closest("li").remove(),
  };
}

const TYPES = { observation: "made", summary: "made", prompt: "said", event: "done" };
