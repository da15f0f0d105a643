/** What is remembered, newest first, and what is new as it comes. */

import { call } from "./api.js";
import { Arrivals } from "./arrivals.js";
import { h, put } from "./dom.js";
import { beginning, words } from "./format.js";
import { MemoryList, titleOf } from "./memories.js";
import { empty, fetchFor, head, hearing, pager, passOver, select, show } from "./parts.js";

const KINDS = [
  "summary", "bugfix", "feature", "refactor", "change", "discovery", "decision", "security_alert", "security_note", "manual",
];

export function timeline(frame, { query }) {
  const list = new MemoryList(frame);
  const arrivals = new Arrivals(list.element, enter, ["new memory", "new memories"]);
  const body = h("div");
  const pages = pager(body, () => fetchPage(cursor), add);
  const { signal } = frame;
  let kind = query.get("kind") ?? "";
  let cursor = null;

  const choice = select([["", "Every kind"], ...KINDS.map((one) => [one, words(one)])], kind, (value) => {
    kind = value;
    frame.keep({ kind });
    load();
  });
  choice.setAttribute("aria-label", "Kind");

  const fetchPage = (from) =>
    call("GET", "/v1/memories", { query: { projectId: frame.projectId, kind, cursor: from, limit: 50 }, signal });

  function load() {
    arrivals.clear();
    return show(body, async () => {
      const page = await fetchPage(null);
      return () => {
        list.clear();
        pages.offer(add(page));
        return list.size ? [list.element, pages.holder] : nothing();
      };
    });
  }

  function add(page) {
    for (const memory of page.memories) list.add(memory);
    cursor = page.nextCursor;
    return cursor !== null;
  }

  /** What came while nobody listened. */
  function catchUp() {
    return fetchFor(body, () => fetchPage(null), (page) => {
      for (const memory of page.memories.filter((one) => !list.has(one.id) && !arrivals.has(one.id)).reverse()) arrive(memory);
    });
  }

  function arrive(memory) {
    if (kind && memory.kind !== kind) return;
    arrivals.take(memory.id, memory);
    frame.announce(`New: ${beginning(titleOf(memory))}`);
  }

  function enter(memory) {
    list.add(memory, { fresh: true });
    if (!list.element.isConnected) put(body, list.element, pages.holder);
  }

  function gone(id) {
    list.remove(id);
    if (list.size === 0) load();
  }

  function hear({ event, data }) {
    if (event === "open") catchUp().catch(passOver);
    if (event === "reset" || event === "purged") load();
    if (event !== "observation") return;
    if (data.change === "deleted") {
      arrivals.drop(data.id);
      if (list.has(data.id)) gone(data.id);
    } else if (data.observation && arrivals.has(data.id)) arrivals.change(data.id, data.observation);
    else if (data.observation && list.has(data.id)) list.add(data.observation);
    else if (data.observation && data.change === "created") arrive(data.observation);
  }

  const nothing = () => (kind
    ? empty("None of this kind", "There is no memory of this kind yet.")
    : empty("Nothing is remembered yet", "As soon as an agent’s hooks send what it does, what is worth keeping appears here by itself."));

  load();
  return { element: h("div.view", {}, head("Timeline", "What your agents remember, newest first.", choice), arrivals.element, body), hear: hearing(body, hear), gone };
}
