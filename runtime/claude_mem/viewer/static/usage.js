/** What generation used and cost, with the budgets that limit it. */

import { call } from "./api.js";
import { budgets } from "./budgets.js";
import { barChart, figures } from "./chart.js";
import { h } from "./dom.js";
import { money, number, short, words } from "./format.js";
import { empty, head, select, show } from "./parts.js";

const DAY_MS = 86_400_000;
const DAYS = 30;
const BY = { model: "By model", project: "By project", lane: "By kind of job" };
const MEMBERS = { model: "model", project: "projectId", lane: "lane" };

export function usage(frame) {
  const { signal } = frame;
  const body = h("div.view");
  const split = h("div");
  const since = new Date(Date.now() - (DAYS - 1) * DAY_MS).toISOString().slice(0, 10);
  const breakdown = (by) =>
    call("GET", "/v1/usage/breakdown", { query: { by, since, projectId: frame.projectId, limit: 100 }, signal });

  show(body, async () => {
    const days = await breakdown("day");
    if (days.total.calls > 0) splitBy("model");
    const used = days.total.calls > 0;
    return [
      tiles(days.total),
      used ? daily(days.lines) : empty("Nothing was used", "No provider was asked in these days."),
      used && told(),
      budgets(frame),
    ];
  });

  function splitBy(by) {
    show(split, async () => {
      const { lines, more } = await breakdown(by);
      const name = (line) => {
        const value = line[MEMBERS[by]];
        if (value === null || value === undefined) return "None";
        return by === "project" ? frame.projectName(value) : by === "lane" ? words(value) : value;
      };
      return [
        figures(`${BY[by]}, the last ${DAYS} days`, ["Name", "Calls", "Tokens in", "Tokens out", "Cost"],
          lines.map((line) => [name(line), ...sums(line)])),
        more > 0 && h("p.quietly", {}, `${number(more)} more are not shown.`),
      ];
    }, 1);
  }

  function told() {
    const choice = select(Object.entries(BY), "model", splitBy);
    choice.setAttribute("aria-label", "What to tell apart");
    return h("section.section", {}, h("div.between", {}, h("h2", {}, "Where it went"), choice), split);
  }

  return { element: h("div.view", {}, head("Usage", `What the last ${DAYS} days took, by UTC day.`), body) };
}

const sums = (line) => [number(line.calls), number(line.inputTokens), number(line.outputTokens), money(line.costUsd)];

function tiles(total) {
  const tile = (name, value, about) => h("div.card.tile", {}, h("dt", {}, name), h("dd", {}, value, about && h("small", {}, about)));
  return h("dl.tiles", {},
    tile("Cost", money(total.costUsd), total.unpricedTokens > 0 && `${short(total.unpricedTokens)} tokens have no price`),
    tile("Tokens", short(total.tokens), `${short(total.inputTokens)} in, ${short(total.outputTokens)} out`),
    tile("Calls", number(total.calls)),
    tile("Failed calls", number(total.failedCalls)));
}

function daily(lines) {
  const byDay = new Map(lines.map((line) => [line.day, line]));
  const today = Date.now();
  const days = Array.from({ length: DAYS }, (_, back) => new Date(today - (DAYS - 1 - back) * DAY_MS).toISOString().slice(0, 10));
  const short_ = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });
  const bars = days.map((day) => ({ label: short_.format(new Date(day)), value: byDay.get(day)?.tokens ?? 0 }));
  return h("section.section", {},
    h("h2", {}, "Tokens a day"),
    h("div.card", {}, barChart(bars, short)),
    lines.length > 0 && h("details", {}, h("summary", {}, "The same as a table"),
      figures("Tokens a day", ["Day", "Calls", "Tokens in", "Tokens out", "Cost"], lines.map((line) => [line.day, ...sums(line)]))));
}
