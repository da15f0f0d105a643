/** One job, with its own address: how it stands, what it is for, what happened to it, and what came of it. */

import { call } from "./api.js";
import { h, put } from "./dom.js";
import { payload } from "./events.js";
import { itemOf, memoryCard } from "./memories.js";
import { backLink, head, hearing, looking, passOver, problemLine, refocus, show, takeAway, unfolding, when } from "./parts.js";
import { jobActions, jobHistory, jobLine, jobName, jobTrouble } from "./steering.js";

const REFRESH_MS = 400;

export function job(frame, { id }) {
  const { signal } = frame;
  const body = h("div");
  let planned = null;
  let event = null;
  /** Memories that no answer on its way brings back. */
  const forgotten = new Set();
  /** Those that are shown. */
  const cards = new Map();

  const load = () => show(body, fetchAll);

  async function fetchAll() {
    const { generationJob: found } = await call("GET", `/v1/jobs/${encodeURIComponent(id)}`, { signal });
    const [history, made] = await Promise.all([jobHistory(found, signal), memoriesOf(found)]);
    return () => {
      const left = made.filter((one) => !forgotten.has(one.dataset.id));
      frame.named(`${jobName(found)}, ${found.status}`);
      return h("div.view", {}, about(found),
        h("section.section", {}, h("h2", {}, "What happened to it"), h("div.card", {}, history)),
        left.length > 0 && h("section.section", {}, h("h2", {}, "What came of it"), h("ol.stack", {}, left.map((one) => h("li", {}, one)))));
    };
  }

  function about(found) {
    return h("article.card.row.split", { "data-id": found.id },
      h("div.row", {},
        jobLine(found, frame),
        h("h2", {}, jobName(found)),
        h("p.quietly", {}, h("code", {}, found.id)),
        jobTrouble(found),
        found.status === "queued" && found.nextAttemptAtEpoch !== null && h("p.quietly", {}, "Next attempt ", when(found.nextAttemptAtEpoch)),
        found.serverSessionId && h("p", {}, h("a", { href: `#/sessions/${encodeURIComponent(found.serverSessionId)}` }, "Its session")),
        // The same one each time, so that it stays as open as it is.
        found.agentEventId && (event ??= unfolding("The event", () => payload(found.agentEventId, signal)))),
      h("div.actions", {}, jobActions(found, frame, steered)));
  }

  async function steered() {
    await refresh().catch(passOver);
    refocus();
  }

  const refresh = looking(fetchAll, (shown) => {
    const focused = body.contains(document.activeElement) ? document.activeElement : null;
    put(body, shown());
    if (focused) refocus(focused.isConnected ? focused : null);
  });

  /** What is there of its event; of a session's summary, that is in the session. */
  async function memoriesOf(found) {
    if (!found.agentEventId || found.status !== "completed") return [];
    try {
      const { observations } = await call("GET", `/v1/events/${encodeURIComponent(found.agentEventId)}/observations`, { signal });
      return observations.map(cardOf);
    } catch (error) {
      if (error.name !== "ApiError") throw error;
      return [problemLine(error.message)];
    }
  }

  /** The same one as long as the memory is the same, so that it stays as open as it is. */
  function cardOf(memory) {
    const said = JSON.stringify(memory);
    if (cards.get(memory.id)?.said !== said) cards.set(memory.id, { said, card: memoryCard(memory, frame, { dated: true }) });
    return cards.get(memory.id).card;
  }

  function gone(memoryId) {
    forgotten.add(memoryId);
    const item = itemOf(body, memoryId);
    if (!item) return;
    const section = item.closest("section");
    takeAway(item);
    if (!section.querySelector("li")) section.remove();
  }

  function hear({ event: kind, data }) {
    if (kind === "observation" && data.change === "deleted") gone(data.id);
    // What was purged is not to stay on the page because the job is not there any more either.
    if (kind === "reset" || kind === "purged") load();
    if (kind === "open" || (kind === "job" && data.generationJob.id === id)) soon();
  }

  /** A burst of news is one look. */
  function soon() {
    planned ??= setTimeout(() => {
      planned = null;
      if (signal.aborted) return;
      if (body.hasAttribute("aria-busy")) soon();
      else refresh().catch(passOver);
    }, REFRESH_MS);
  }

  load();
  return {
    element: h("div.view", {}, backLink(frame, "jobs", "All jobs"), head("Job", null), body),
    hear: hearing(body, hear),
    gone,
  };
}
