/** What waits, lane by lane: how much, since when, and for what. */

import { h, put } from "./dom.js";
import { number, recent } from "./format.js";
import { badge, when } from "./parts.js";

const LANES = { event: "Events", summary: "Summaries" };

/** Jobs beyond which the server does not tell apart how many wait. */
const MOST = 10_000;

const NEXT = "next attempt at";

/** What holds jobs that wait for their time, and what is said of when that is. */
const HOLDS = {
  __proto__: null,
  session: ["for more of their session, to share a call,", "until"],
  budget_exhausted: ["for a budget,", "until"],
  rate_limit: ["because the provider limits calls;", NEXT],
  quota_exhausted: ["because the provider’s quota is used up;", NEXT],
  transient: ["after the provider failed;", NEXT],
  auth_invalid: ["after the provider refused its key;", NEXT],
  unrecoverable: ["after an error;", NEXT],
  parse_error: ["after an answer that could not be read;", NEXT],
  unknown: ["after an error;", NEXT],
};

const much = (value) => (value >= MOST ? `${number(value)} or more` : number(value));

/** A place for the queue, which is filled and filled again with what `GET /v1/jobs/counts` answers. */
export function queue() {
  const element = h("section.section", { "aria-label": "Queue" });
  return { element, tell: (counts) => put(element, told(counts)) };
}

function told({ lanes, generating }) {
  const due = lanes.some((lane) => lane.due > 0);
  return [
    due && !generating && stuck(),
    h("ul.lanes", {}, lanes.map((lane) => h("li.card.lane", {}, laneOf(lane)))),
  ];
}

const stuck = () => h("p.warn-line", {}, "No worker runs, so nothing is taken from the queue. Nothing is lost: it goes on as soon as one does.");

function laneOf({ lane, due, oldestDueAtEpoch, held }) {
  const all = held.reduce((sum, one) => sum + one.jobs, due);
  return [
    h("div.line", {}, h("h2", {}, LANES[lane]), badge(all ? `${much(all)} waiting` : "Nothing waits", all ? "warn" : undefined)),
    due > 0 && h("p", {}, h("b", {}, much(due)), due === 1 ? " can be taken now, and has waited since " : " can be taken now; the oldest has waited since ", when(oldestDueAtEpoch, recent), "."),
    held.length > 0 && h("ul.held", {}, held.map(hold)),
  ];
}

function hold({ reason, jobs, nextAttemptAtEpoch }) {
  const [why, then] = HOLDS[reason] ?? HOLDS.unknown;
  return h("li", {}, h("b", {}, much(jobs)), jobs === 1 ? " waits " : " wait ", why, ` ${then} `, when(nextAttemptAtEpoch, recent), ".");
}
