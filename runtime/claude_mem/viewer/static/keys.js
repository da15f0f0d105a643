/** API keys: who may do what, made here, replaced and ended. */

import { SignedOut, call } from "./api.js";
import { ask, showSecret } from "./dialogs.js";
import { h, put } from "./dom.js";
import { badge, empty, field, head, pager, select, show, when } from "./parts.js";

const SCOPES = {
  "memories:read": ["Read", "search memories, and see jobs, usage and keys"],
  "memories:write": ["Write", "send events, write and forget memories, steer jobs, make keys"],
};
const LIFETIMES = [["", "Never"], ["7", "In a week"], ["30", "In 30 days"], ["90", "In 90 days"], ["365", "In a year"]];
const OVERLAPS = [["0", "At once"], ["3600", "In an hour"], ["86400", "In a day"], ["604800", "In a week"]];

const called = (key) => h("bdi", {}, key.name || key.prefix);

export function keys(frame) {
  const { signal } = frame;
  const body = h("div");
  const list = h("ol.stack");
  const pages = pager(body, () => fetchPage(cursor), add);
  const may = frame.may("memories:write");
  let active = true;
  let cursor = null;

  const fetchPage = (from) =>
    call("GET", "/v1/keys", { query: { active: active ? "true" : "", cursor: from, limit: 50 }, signal });

  function add(page) {
    list.append(...page.keys.map((key) => h("li", {}, row(key))));
    cursor = page.nextCursor;
    return cursor !== null;
  }

  const load = () => show(body, async () => {
    const page = await fetchPage(null);
    return () => {
      put(list);
      pages.offer(add(page));
      return list.children.length ? [list, pages.holder] : empty("No keys", "Make one for each machine and each agent, so that one can be ended alone.");
    };
  });

  function row(key) {
    const ended = key.status === "revoked" || (key.expiresAtEpoch !== null && key.expiresAtEpoch <= Date.now());
    const own = frame.identity?.id === key.id;
    const name = key.name || "Without a name";
    return h("article.card.row.split", { "data-id": key.id },
      h("div.row", {},
        h("div.line", {},
          ended ? badge(key.status === "revoked" ? "Revoked" : "Expired") : badge("Active", "good"), own && badge("This key", "accent"),
          key.prefix && h("code", {}, `${key.prefix}…`), h("span", {}, key.projectId ? frame.projectName(key.projectId) : "Whole team")),
        h("h2", { dir: "auto" }, name),
        h("div.chips", {}, key.scopes.map((scope) => h("span.chip", {}, scope))),
        h("div.line", {}, h("span", {}, "Made ", when(key.createdAtEpoch)),
          key.lastUsedAtEpoch !== null && h("span", {}, "Last used ", when(key.lastUsedAtEpoch)),
          key.expiresAtEpoch !== null && h("span", {}, ended ? "Expired " : "Expires ", when(key.expiresAtEpoch)))),
      may && !ended && h("div.actions", {},
        h("button", { type: "button", "aria-label": `Rotate ${name}`, on: { click: () => rotate(key, own) } }, "Rotate"),
        h("button.danger", { type: "button", "aria-label": `Revoke ${name}`, on: { click: () => revoke(key, own) } }, "Revoke")));
  }

  async function create() {
    const name = h("input", { type: "text", maxlength: "120", autocomplete: "off", placeholder: "Such as: build machine" });
    const lifetime = select(LIFETIMES, "90");
    const boxes = Object.entries(SCOPES).map(([scope, [label, about]], position) => {
      const box = h("input", { type: "checkbox", name: "scope", value: scope, checked: position === 0 });
      return { box, element: h("label.check", {}, box, h("span", {}, h("strong", {}, label), ` — ${about}`)) };
    });
    const project = frame.identity?.projectId ? null
      : select([["", "The whole team"], ...frame.projects.map((one) => [one.id, one.name])], frame.projectId);
    const made = await ask({
      title: "New key",
      content: [field("Name", name), h("fieldset", {}, h("legend", {}, "It may"), boxes.map((one) => one.element)),
        project && field("For", project), field("It ends", lifetime)],
      action: "Make the key",
      act: () => {
        const scopes = boxes.filter(({ box }) => box.checked).map(({ box }) => box.value);
        return call("POST", "/v1/keys", { body: {
          name: name.value.trim() || null,
          ...(scopes.length ? { scopes } : {}),
          ...(lifetime.value ? { expiresInDays: Number(lifetime.value) } : {}),
          ...(project?.value ? { projectId: project.value } : {}),
        } });
      },
    });
    if (made) await handOver("The new key", made);
  }

  async function rotate(key, own) {
    const overlap = select(OVERLAPS, "0");
    const made = await ask({
      title: "Replace this key?",
      content: [h("p", {}, "A new key takes the place of “", called(key), "”, with the same name and scopes."),
        own && h("p", {}, "You are signed in with this key: sign in with the new one when it ends."),
        field("The old one ends", overlap)],
      action: "Replace it",
      act: () => call("POST", `/v1/keys/${encodeURIComponent(key.id)}/rotate`, { body: { overlapSeconds: Number(overlap.value) } }),
    });
    if (made) await handOver("The key that takes its place", made);
  }

  async function handOver(title, made) {
    await showSecret({ title, secret: made.apiKey, command: made.connectCommand });
    await load();
  }

  async function revoke(key, own) {
    const done = await ask({
      title: "Revoke this key?",
      content: [h("p", {}, "“", called(key), "” fails on its very next request. There is no way back."),
        own && h("p", {}, "You are signed in with this key: you will be signed out.")],
      action: "Revoke it",
      danger: true,
      act: () => call("DELETE", `/v1/keys/${encodeURIComponent(key.id)}`),
    });
    if (!done) return;
    if (own) throw new SignedOut("You revoked the key that you were signed in with.");
    frame.announce("The key is revoked.");
    load();
  }

  const ended = h("input", { type: "checkbox", on: { change: () => { active = !ended.checked; load(); } } });
  load();
  return {
    element: h("div.view", {},
      head("Keys", "What machines and agents come in with.",
        h("label.check", {}, ended, "Ended ones too"),
        may && h("button.primary", { type: "button", on: { click: create } }, "New key")),
      body),
  };
}
