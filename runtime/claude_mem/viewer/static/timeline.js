/** What is remembered, newest first, and what is new as it comes. */

import { call } from "./api.js";
import { Arrivals } from "./arrivals.js";
import { h, put } from "./dom.js";
import { beginning, words } from "./format.js";
import { MemoryList, titleOf } from "./memories.js";
import { empty, fetchFor, head, hearing, isBehind, pager, passOver, select, show } from "./parts.js";

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
  /** The last that was fetched, where there are more behind it. */
  let end = null;

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
    end = cursor === null ? null : page.memories.at(-1);
    return cursor !== null;
  }

  /** What came or changed while nobody listened; what is older than all that is shown comes with its page. */
  function catchUp() {
    return fetchFor(body, () => fetchPage(null), (page) => {
      for (const memory of page.memories.reverse()) {
        if (!change(memory) && !(end && isBehind(memory, end))) arrive(memory);
      }
    });
  }

  /** Show a memory that is there as it is now; whether it is there. */
  function change(memory) {
    if (arrivals.has(memory.id)) arrivals.change(memory.id, memory);
    else if (list.has(memory.id)) list.add(memory);
    else return false;
    return true;
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
    } else if (data.observation && !change(data.observation) && data.change === "created") arrive(data.observation);
  }

  const nothing = () => (kind
    ? empty("None of this kind", "There is no memory of this kind yet.")
    : empty("Nothing is remembered yet", "As soon as an agent’s hooks send what it does, what is worth keeping appears here by itself."));

  load();
  return { element: h("div.view", {}, head("Timeline", "What your agents remember, newest first.", choice), arrivals.element, body), hear: hearing(body, hear), gone };
}
