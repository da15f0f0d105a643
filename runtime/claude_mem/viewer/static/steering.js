/** Jobs wherever they are shown: their names and states, what happened to them, and what can be done about them. */

import { call } from "./api.js";
import { ask } from "./dialogs.js";
import { h } from "./dom.js";
import { count, instant, words } from "./format.js";
import { badge, when } from "./parts.js";

const TONES = { __proto__: null, queued: "warn", processing: "accent", failed: "bad", completed: "good" };
const SOURCES = { __proto__: null, agent_event: "Event", session_summary: "Session summary", observation_reindex: "Index of a memory" };

export const jobState = (state) => badge(words(state), TONES[state]);
export const jobName = (job) => SOURCES[job.sourceType] ?? words(job.sourceType);
export const jobLink = (job, ...text) => h("a", { href: `#/jobs/${encodeURIComponent(job.id)}` }, text);

/** Its state, when it began, whose it is and how often it was tried. */
export function jobLine(job, frame) {
  return h("div.line", {}, jobState(job.status), when(job.createdAtEpoch),
    !frame.projectId && h("span", {}, frame.projectName(job.projectId)),
    job.attempts > 0 && h("span", {}, count(job.attempts, "attempt")));
}

/** Why it failed, or was set back. */
export function jobTrouble({ lastError }) {
  return lastError?.reason && h("p.quietly", {}, lastError.classification && `${words(lastError.classification)}: `, h("bdi", {}, lastError.reason));
}

/** What happened to a job, oldest first. */
export async function jobHistory(job, signal) {
  const { events } = await call("GET", `/v1/jobs/${encodeURIComponent(job.id)}/events`, { signal });
  return h("ol.stack", {}, events.map((line) => h("li.line", {},
    when(line.createdAtEpoch, instant), jobState(line.statusAfter),
    line.eventType !== line.statusAfter && h("strong", {}, words(line.eventType)),
    line.attempt > 0 && h("span", {}, `attempt ${line.attempt}`),
    line.details?.reason && h("span", {}, String(line.details.reason)))));
}

/**
 * Buttons for what may be done about a job now.
 *
 * @param {(job: object) => void} changed is told of the job as it is then
 */
export function jobActions(job, frame, changed) {
  if (!frame.may("memories:write")) return [];
  const button = (label, handler) => h("button", { type: "button", on: { click: handler } }, label);
  const question = (verb, said, asked) => async () => {
    const done = await ask({ ...asked, act: () => call("POST", `/v1/jobs/${encodeURIComponent(job.id)}/${verb}`, {}) });
    if (!done) return;
    frame.announce(said);
    changed(done.generationJob);
  };
  return [
    ["failed", "cancelled"].includes(job.status) && button("Try again", question("retry", "The job is queued again.", {
      title: "Try this job again?",
      content: [h("p", {}, "It gets all its attempts again, and may cost as much again.")],
      action: "Try again",
    })),
    ["queued", "processing"].includes(job.status) && button("Cancel", question("cancel", "The job is cancelled.", {
      title: "Cancel this job?",
      content: [h("p", {}, "Nothing is made of its event. It can be tried again later.")],
      action: "Cancel the job",
      danger: true,
    })),
  ];
}
