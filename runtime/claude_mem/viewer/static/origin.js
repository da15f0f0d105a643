/** What led to a memory: the events, the job, what it cost, and the summary that was told of it. */

import { call } from "./api.js";
import { h } from "./dom.js";
import { step } from "./events.js";
import { count, money, moment, number } from "./format.js";
import { unfolding, when } from "./parts.js";
import { jobHistory, jobLink, jobName, jobState } from "./steering.js";

/** One panel, filled when it is opened. */
export function origin(memory, frame) {
  return unfolding("What led to this", async () => {
    const found = await call("GET", `/v1/memories/${encodeURIComponent(memory.id)}/origin`, { signal: frame.signal });
    const asked = calls(found.calls, memory);
    const parts = [
      part("Made from", made(found, frame)),
      part("Made by", found.jobs.map((job) => jobPart(job, frame))),
      part("Provider asked", found.jobs.length ? asked : []),
      part("Told in", found.summaries.map((one) => h("li", {}, h("div.line", {}, when(one.atEpoch)), memoryLink(one)))),
    ].filter(Boolean);
    return found.jobs.length || found.sources.length ? parts : [h("p.quietly", {}, "No job made this: somebody wrote it, or brought it along."), ...parts];
  }, 2);
}

const part = (title, items) => items.length > 0 && h("div.led", { role: "group", "aria-label": title }, h("p.label", {}, title), h("ul.stack", {}, items));

const memoryLink = (entry) => h("a.clamp", { href: `#/memories/${encodeURIComponent(entry.id)}` }, entry.title || entry.text || "A summary");

function made({ sources, events }, frame) {
  const sessions = sources.filter((source) => source.sourceType === "session_summary");
  const gone = sources.filter((source) => source.sourceType === "agent_event").length - events.length;
  return [
    ...sessions.map((source) => h("li", {}, h("a", { href: `#/sessions/${encodeURIComponent(source.sourceId)}` }, "All that happened in the session"))),
    ...events.map((entry) => h("li", {}, step(entry, frame, moment))),
    ...(gone > 0 ? [h("li.quietly", {}, `${count(gone, "event")} that ${gone === 1 ? "is" : "are"} no longer kept`)] : []),
  ];
}

function jobPart(job, frame) {
  return h("li", {},
    h("div.line", {}, jobState(job.status), jobLink(job, jobName(job)), when(job.completedAtEpoch ?? job.createdAtEpoch),
      job.attempts > 0 && h("span", {}, count(job.attempts, "attempt"))),
    unfolding("History", () => jobHistory(job, frame.signal)));
}

function calls(found, { metadata }) {
  if (found.length) {
    return found.map((one) => h("li", {}, h("div.line", {},
      h("strong", {}, [one.provider, one.model].filter(Boolean).join(", ") || "A provider"),
      h("span", {}, `${number(one.inputTokens)} tokens in, ${number(one.outputTokens)} out`),
      h("span", {}, one.costUsd === null ? "no price known" : money(one.costUsd)),
      one.jobs > 1 && h("span", {}, `one call for ${number(one.jobs)} jobs`))));
  }
  const named = [metadata?.provider, metadata?.model].filter((one) => typeof one === "string" && one);
  return named.length ? [h("li.line", {}, h("strong", {}, named.join(", ")), h("span", {}, "no tokens noted"))] : [];
}
