/** Things that agents did, briefly; all that is known of one comes when it is opened. */

import { call } from "./api.js";
import { h } from "./dom.js";
import { words } from "./format.js";
import { badge, unfolding, when } from "./parts.js";

/** What an entry's text ends with where more was said. */
const CUT = "…";

/** A step of an agent, from an entry of a timeline. */
export function step(entry, frame, show) {
  return h("div.step", {},
    h("div.line", {}, when(entry.atEpoch, show), h("strong", {}, entry.title ?? words(entry.kind))),
    entry.text && h(entry.type === "prompt" ? "p.clamp" : "p.what.clamp", { dir: "auto" }, entry.text),
    unfolding("Details", () => payload(entry.id, frame.signal)));
}

/** What somebody told the agent. */
export function prompt(entry, frame, show) {
  return h("div.card", {},
    h("div.line", {}, badge("Prompt", "accent"), when(entry.atEpoch, show)),
    h("p.text", { dir: "auto" }, entry.text),
    entry.text.endsWith(CUT) && unfolding("The whole prompt", async () => {
      const { event } = await fetchEvent(entry.id, frame.signal);
      return h("p.text", { dir: "auto" }, String(event.payload?.prompt ?? entry.text));
    }));
}

/** An event's payload, as it was sent. */
export async function payload(id, signal) {
  const { event } = await fetchEvent(id, signal);
  return h("pre.json", { tabindex: "0", "aria-label": "Payload" }, JSON.stringify(event.payload, null, 2));
}

const fetchEvent = (id, signal) => call("GET", `/v1/events/${encodeURIComponent(id)}`, { signal });
