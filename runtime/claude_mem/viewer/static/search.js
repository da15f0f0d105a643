/** Memories found again, with what matched and why they stand where they do. */

import { call } from "./api.js";
import { figures } from "./chart.js";
import { h, put } from "./dom.js";
import { count } from "./format.js";
import { itemOf, memoryCard } from "./memories.js";
import { empty, field, head, hearing, pager, select, show } from "./parts.js";

export function search(frame, { query }) {
  const { signal } = frame;
  const asked = query.get("q") ?? "";
  const input = h("input", { type: "search", name: "q", value: asked, enterkeyhint: "search", "aria-label": "Search words" });
  const results = h("div");
  const list = h("ol.stack");
  const pages = pager(results, () => fetchPage(cursor), add);
  const projectId = query.get("project") || frame.projectId || frame.projects[0]?.id || "";
  let wanted = projectId;
  let cursor = null;
  let place = 0;

  const project = frame.projectId ? null
    : field("Look in", select(frame.projects.map((one) => [one.id, one.name]), projectId, (value) => { wanted = value; }));

  function send(event) {
    event.preventDefault();
    const next = new URLSearchParams({ q: input.value.trim() });
    if (!frame.projectId) next.set("project", wanted);
    const hash = `#/search?${next}`;
    if (location.hash === hash) find();
    else location.hash = hash;
  }

  const fetchPage = (from) => call("POST", "/v1/search", {
    body: { projectId, query: asked, limit: 20, highlights: true, explain: true, ...(from ? { cursor: from } : {}) }, signal,
  });

  function add(page) {
    cursor = page.nextCursor ?? null;
    list.append(...page.observations.map((found) => h("li", {}, card(found, ++place))));
    return cursor !== null;
  }

  function find() {
    return show(results, async () => {
      const page = await fetchPage(null);
      return () => {
        place = 0;
        put(list);
        pages.offer(add(page));
        frame.announce(place === 0 ? "Nothing was found" : `${count(place, "memory", "memories")} found`);
        if (place === 0) return empty("Nothing was found", "Try fewer or other words: any of them may match, and names, paths and parts of them count.");
        return [h("h2.unseen", {}, "Results"), list, pages.holder];
      };
    });
  }

  function gone(id) {
    const item = itemOf(list, id);
    item?.remove();
    if (item && !list.children.length) find();
  }

  const card = (found, position) => memoryCard(found, { ...frame, projectId }, {
    dated: true,
    body: found.highlights?.length ? fragments(found) : undefined,
    extra: found.explanation?.length ? explanation(found, position) : null,
  });

  if (asked) frame.named(`${asked} · Search`);
  if (asked && projectId) find();
  else put(results, empty("Ask your memory", "Type words, names or paths: any of them may match. What stands in “quotes” must match, and a word with a - before it must not."));
  return {
    element: h("div.view", {}, head("Search", null),
      h("form.searching", { role: "search", on: { submit: send } },
        project,
        h("div.ask", {}, input, h("button.primary", { type: "submit" }, "Search"))),
      results),
    hear: hearing(results, ({ event, data }) => { if (event === "observation" && data.change === "deleted") gone(data.id); }),
    gone,
    focused: () => {
      if (asked) return false;
      input.focus();
      return true;
    },
  };
}

function fragments({ content, highlights }) {
  return h("ul.fragments", {}, highlights.map((pieces) => {
    const whole = pieces.map((piece) => piece.text).join("");
    return h("li", { dir: "auto" }, !content.startsWith(whole) && "… ",
      pieces.map((piece) => (piece.match ? h("mark", {}, piece.text) : piece.text)), !content.endsWith(whole) && " …");
  }));
}

function explanation(found, position) {
  const digits = (value) => value.toFixed(2);
  const rows = found.explanation.map((part) => [
    part.term, digits(part.score), digits(part.frequency), part.documentFrequency, digits(part.idf),
  ]);
  return h("details", {}, h("summary", {}, `Why it is number ${position}`),
    figures(`Score ${digits(found.score)}, term by term`, ["Term", "Adds", "How often", "Memories with it", "Rarity"], rows));
}
