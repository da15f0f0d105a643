/** Stretches of an agent's work, the newest first. */

import { call } from "./api.js";
import { h } from "./dom.js";
import { duration, words } from "./format.js";
import { badge, empty, head, pager, show, when } from "./parts.js";

/** What a session was asked to do, or what else it may be called. */
export function sessionTitle(session) {
  const { prompt } = session.metadata ?? {};
  if (typeof prompt === "string" && prompt.trim()) return prompt.trim();
  return session.agentType ? `${words(session.agentType)} session` : "Session without a prompt";
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
  const pages = pager(page);
  let cursor = null;

  async function page() {
    const found = await call("GET", "/v1/sessions", { query: { projectId: frame.projectId, cursor, limit: 50 }, signal });
    list.append(...found.sessions.map((session) => h("li", {}, row(session))));
    cursor = found.nextCursor;
    return cursor !== null;
  }

  function load() {
    return show(body, async () => {
      list.replaceChildren();
      cursor = null;
      pages.offer(await page());
      return list.children.length ? [list, pages.holder]
        : empty("No sessions yet", "A session begins when an agent with hooks gets its first prompt.");
    });
  }

  const row = (session) => h("article.card.row", {},
    sessionLine(session, frame),
    h("h2", {}, h("a.clamp", { href: `#/sessions/${encodeURIComponent(session.id)}` }, sessionTitle(session))));

  load();
  return {
    element: h("div.view", {}, head("Sessions", "What agents were asked to do, and what came of it."), body),
    hear: ({ event }) => { if (event === "reset" || event === "purged") load(); },
  };
}
