/** One memory, with its own address. */

import { call } from "./api.js";
import { h } from "./dom.js";
import { memoryCard, titleOf } from "./memories.js";
import { ANEW, backLink, empty, fetchFor, head, hearing, passOver, show } from "./parts.js";

export function memory(frame, { id }) {
  const body = h("div");
  /** The memory that is shown, as text. */
  let shown = "";

  const ask = () => call("GET", `/v1/memories/${encodeURIComponent(id)}`, { signal: frame.signal });

  const load = () => show(body, async () => {
    const found = await ask();
    return () => card(found.memory);
  });

  function card(found) {
    shown = JSON.stringify(found);
    frame.named(titleOf(found));
    return memoryCard(found, frame, { level: "h2", dated: true });
  }

  const isOther = (found) => JSON.stringify(found) !== shown;

  /** What became of it while nobody listened. */
  async function catchUp() {
    try {
      await fetchFor(body, ask, (found) => { if (isOther(found.memory)) show(body, async () => () => card(found.memory)); });
    } catch (error) {
      if (error.status === 404) gone();
      else passOver(error);
    }
  }

  // Shown as an answer is, so that none that is on its way takes its place.
  function gone() {
    shown = "";
    return show(body, async () => empty("Forgotten", "This memory is not there any more."));
  }

  const told = hearing(body, ({ event, data }) => {
    if (ANEW.has(event)) catchUp();
    else if (event === "observation" && data.id === id && isOther(data.observation)) load();
  });

  load();
  return {
    element: h("div.view", {}, backLink(frame, "timeline", "Timeline"), head("Memory", null), body),
    hear: (news) => (news.event === "observation" && news.data.id === id && news.data.change === "deleted" ? gone() : told(news)),
    gone,
  };
}
