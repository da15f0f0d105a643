/** A session's story: what was asked, what was done, what was learned from it. */

import { all, call } from "./api.js";
import { h, put } from "./dom.js";
import { prompt, step } from "./events.js";
import { clock } from "./format.js";
import { itemOf, memoryCard } from "./memories.js";
import { backLink, empty, fetchFor, head, hearing, longText, pager, passOver, show, takeAway } from "./parts.js";
import { lastPrompt, requestOf, sessionLine, sessionTitle } from "./sessions.js";

const REFRESH_MS = 400;

export function session(frame, { id }) {
  const { signal } = frame;
  const path = `/v1/sessions/${encodeURIComponent(id)}`;
  const about = h("div");
  const body = h("div");
  const list = h("ol.story");
  const pages = pager(body, () => fetchPage(cursor), add);
  let cursor = null;
  let whole = false;
  let looking = null;
  let known = null;
  let told = "";
  let first;
  const seen = new Set();
  const memories = new Map();

  const fetchPage = (from) => call("GET", `${path}/timeline`, { query: { cursor: from, limit: 100 }, signal });

  function add(page) {
    for (const entry of page.entries) {
      if (!seen.has(entry.id)) list.append(h(`li.${TYPES[entry.type]}`, {}, shown(entry)));
      seen.add(entry.id);
      if (entry.type === "prompt") first ??= entry.text;
    }
    known = page.session;
    tell();
    cursor = page.nextCursor ?? cursor;
    whole = page.nextCursor === null;
    return !whole;
  }

  /** What it is called and how it stands; what it was told last, where its prompts are not in the story. */
  function tell() {
    const summary = [...memories.values()].find((memory) => memory.kind === "summary");
    const title = sessionTitle(known, { request: requestOf(summary), first });
    const last = lastPrompt(known);
    frame.named(title);
    // What is read there stays as open as it is.
    const telling = JSON.stringify([title, known, first === undefined]);
    if (telling === told) return;
    told = telling;
    put(about, h("div.stack", {},
      h("p.lead.clamp", { dir: "auto" }, title),
      sessionLine(known, frame),
      first === undefined && last && last !== title && h("div.card", {}, longText(last))));
  }

  /** The memories and the page from a cursor on. Returns: what shows both, behind what is shown. */
  async function further(from) {
    const found = await all("/v1/memories", "memories", { query: { serverSessionId: id }, signal });
    const page = await fetchPage(from);
    return () => {
      for (const memory of found) memories.set(memory.id, memory);
      pages.offer(add(page));
      return list.children.length ? [list, pages.holder] : nothing();
    };
  }

  const nothing = () => empty("Nothing happened yet", "What the agent does, and what is learned from it, appears here.");

  function load() {
    // A look that was planned would go on behind what was shown.
    clearTimeout(looking);
    looking = null;
    told = "";
    put(about);
    return show(body, async () => {
      const enter = await further(null);
      return () => {
        seen.clear();
        memories.clear();
        put(list);
        cursor = null;
        first = undefined;
        return enter();
      };
    });
  }

  /** What came since. */
  function refresh() {
    return fetchFor(body, () => further(cursor), (enter) => {
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

  function gone(memoryId) {
    const item = itemOf(list, memoryId);
    if (item) takeAway(item);
    if (memories.delete(memoryId)) tell();
    if (item && whole && !list.children.length) put(body, nothing());
  }

  function hear({ event, data }) {
    if (event === "observation" && data.change === "deleted") gone(data.id);
    if (event === "reset" || event === "purged") load();
    if (!whole) return;
    if (event === "open") soon();
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
    gone,
  };
}

const TYPES = { observation: "made", summary: "made", prompt: "said", event: "done" };
