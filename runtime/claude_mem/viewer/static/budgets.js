/** Budgets: what is left of each, and for an administrator's key, setting and removing them. */

import { call } from "./api.js";
import { meter } from "./chart.js";
import { ask } from "./dialogs.js";
import { h, put } from "./dom.js";
import { money, number } from "./format.js";
import { badge, empty, field, select, show, when } from "./parts.js";

const PERIODS = { day: "a day", month: "a month" };
const WARN_PERCENT = 80;

export function budgets(frame) {
  const { signal } = frame;
  const body = h("div");
  const may = frame.may("administer") && !frame.identity?.projectId;
  let known = [];

  const load = () => show(body, async () => {
    ({ budgets: known } = await call("GET", "/v1/usage/budget", { query: { projectId: frame.projectId }, signal }));
    return known.length ? h("ul.stack", {}, known.map((one) => h("li", {}, card(one))))
      : empty("No budget", "Nothing limits what generation may cost.");
  }, 2);

  const owner = (found) => (found.projectId === null ? "The team" : frame.projectName(found.projectId));
  const nameOf = (found) => `${owner(found)}, ${PERIODS[found.period]}`;

  function card(found) {
    const limits = [
      found.tokens !== null && limit("tokens", found.spentTokens, found.tokens, found.warnPercent, number),
      found.usd !== null && limit("", found.spentUsd ?? 0, found.usd, found.warnPercent, money),
    ];
    const spent = found.state === "spent";
    const name = nameOf(found);
    return h("article.card.row", {},
      h("div.line", {}, h("h3", {}, h("bdi", {}, owner(found)), `, ${PERIODS[found.period]}`), found.isDefault && badge("Default"),
        found.warning && badge(spent ? "Used up" : "Nearly used up", spent ? "bad" : "warn"),
        h("span.end", {}, "Starts again ", when(found.resetsAtEpoch))),
      limits.some(Boolean) ? limits : h("p.quietly", {}, "No limit."),
      spent && h("p.quietly", {}, "Generation waits until then, or until the budget is raised; nothing is lost."),
      may && h("div.actions", {},
        h("button", { type: "button", "aria-label": `Change ${name}`, on: { click: () => set(found) } }, "Change"),
        !found.isDefault
          && h("button.danger", { type: "button", "aria-label": `Remove ${name}`, on: { click: () => remove(found) } }, "Remove")));
  }

  /** Set a budget, a new one or the one that is there. */
  async function set(found) {
    const amount = (value, step, name) => h("input", {
      type: "number", name, min: "0", step, value: value ?? "", placeholder: "No limit", inputmode: "decimal",
    });
    const scope = select([["", "The whole team"], ...frame.projects.map((one) => [one.id, one.name])], frame.projectId);
    const period = select([["day", "A day"], ["month", "A month"]], "day");
    const tokens = amount(found?.tokens, "1", "tokens");
    const usd = amount(found?.usd, "any", "usd");
    const warn = h("input", { type: "number", name: "warn", min: "1", max: "100", step: "1", required: true, value: found?.warnPercent ?? WARN_PERCENT });
    const said = h("p.quietly", { role: "status" });
    const wanted = () => ({
      projectId: found ? found.projectId : scope.value || null,
      period: found ? found.period : period.value,
      // To the API, 0 is no limit, and a budget with none is one that lifts the default; a new one has to name one.
      tokens: amountOf(tokens, found),
      usd: amountOf(usd, found),
      warnPercent: Number(warn.value),
    });
    const foretell = () => put(said, consequence(wanted(), found));
    for (const control of [scope, period, tokens, usd]) control.addEventListener("input", foretell);
    foretell();
    const done = await ask({
      title: found ? `Change the budget: ${nameOf(found)}` : "Set a budget",
      content: [
        ...(found ? [] : [field("For", scope), field("For each", period)]),
        field("Tokens", tokens, "Of prompts and answers together."), field("US dollars", usd, "By list prices."),
        field("Warn at", warn, "Percent of a limit."), said,
      ],
      action: "Set the budget",
      act: () => call("PUT", "/v1/budgets", { body: wanted() }),
    });
    if (done) changed("The budget is set.");
  }

  /** What setting it would mean at once. */
  function consequence({ projectId, period, tokens, usd }, found) {
    if (!tokens && !usd && !found) return "Name a limit of tokens, of dollars, or of both.";
    if (!tokens && !usd) return period === "day" && !projectId ? "No limit: the server’s default does not apply either." : "No limit.";
    const now = known.find((one) => one.projectId === projectId && one.period === period);
    if (!now) return "It replaces one for the same, if there is one.";
    const over = (tokens > 0 && now.spentTokens >= tokens) || (usd > 0 && (now.spentUsd ?? 0) >= usd);
    const used = [tokens > 0 && `${number(now.spentTokens)} tokens`, usd > 0 && money(now.spentUsd ?? 0)].filter(Boolean).join(" and ");
    return over
      ? ["That is used up already, by ", used, ": generation waits until ", when(now.resetsAtEpoch), "."]
      : `Of it, ${used} ${tokens > 0 ? "are" : "is"} used so far.`;
  }

  async function remove(found) {
    const done = await ask({
      title: "Remove this budget?",
      content: [h("p", {}, nameOf(found)), h("p.quietly", {}, found.projectId === null && found.period === "day"
        ? "The server’s default for a day applies again, if it has one. Jobs that wait go on where other budgets let them."
        : "Jobs that wait go on where other budgets let them.")],
      action: "Remove it",
      danger: true,
      act: () => call("DELETE", "/v1/budgets", { query: { period: found.period, projectId: found.projectId } }),
    });
    if (done) changed("The budget is removed.");
  }

  async function changed(text) {
    frame.announce(text);
    await load();
    // Who went on to something else meanwhile stays there.
    if (document.activeElement?.matches("body, main h1")) title.focus({ preventScroll: true });
  }

  const title = h("h2", { tabindex: "-1" }, "Budgets");
  load();
  return h("section.section", {},
    h("div.between", {}, title, may && h("button", { type: "button", on: { click: () => set(null) } }, "Set a budget…")),
    body,
    !may && h("p.quietly", {}, "A key of the whole team with an administrator’s scope may change them."));
}

/** What is filled in; where nothing is, none of a budget that is there, and nothing to say of a new one. */
const amountOf = (input, found) => (input.value === "" ? (found ? 0 : undefined) : Number(input.value));

function limit(unit, spent, most, warnPercent, show_) {
  const share = most > 0 ? spent / most : 1;
  return h("div.limit", {}, meter(share, warnPercent / 100),
    h("p.quietly", {}, `${show_(spent)} of ${show_(most)}${unit && ` ${unit}`} (${Math.round(share * 100)} %); warns at ${warnPercent} %.`));
}
