/** One memory, with its own address. */

import { call } from "./api.js";
import { h } from "./dom.js";
import { memoryCard, titleOf } from "./memories.js";
import { backLink, empty, head, show } from "./parts.js";

export function memory(frame, { id }) {
  const body = h("div");
  const load = () => show(body, async () => {
    const found = await call("GET", `/v1/memories/${encodeURIComponent(id)}`, { signal: frame.signal });
    frame.named(titleOf(found.memory));
    return memoryCard(found.memory, frame, { level: "h2", dated: true });
  });
  // Shown as an answer is, so that none that is on its way takes its place.
  const gone = () => show(body, async () => empty("Forgotten", "This memory is not there any more."));

  load();
  return {
    element: h("div.view", {}, backLink(frame, "timeline", "Timeline"), head("Memory", null), body),
    hear: ({ event, data }) => {
      if (event === "observation" && data.id === id) data.change === "deleted" ? gone() : load();
    },
    gone,
  };
}
