/** Memories as cards, and lists of them by day that take in what is new. */

import { call } from "./api.js";
import { ask } from "./dialogs.js";
import { h } from "./dom.js";
import { beginning, clock, count, day, dayKey, moment, words } from "./format.js";
import { origin } from "./origin.js";
import { badge, isBehind, longText, path, prose, refocus, when } from "./parts.js";

const TONES = {
  __proto__: null,
  bugfix: "bad", security_alert: "bad", feature: "good", decision: "accent", summary: "accent", discovery: "warn", security_note: "warn",
};
const SUMMARY_PARTS = {
  request: "Request", investigated: "Investigated", learned: "Learned", completed: "Completed", next_steps: "Next steps", notes: "Notes",
};

/** Facts and files that are shown of a memory before somebody asks for the others. */
const SOME = 8;

const text = (value) => (typeof value === "string" ? value.trim() : "");
const texts = (value) => (Array.isArray(value) ? value.map(text).filter(Boolean) : []);

/** A memory's own title, or what its text begins with. */
export function titleOf(memory) {
  const metadata = memory.metadata ?? {};
  return text(metadata.title) || text(metadata.request) || text(memory.content).split("\n")[0].slice(0, 120) || "Without words";
}

/** The item of a list in which a card stands, by the memory's id; undefined where it does not. */
export function itemOf(place, id) {
  return place.querySelector(`[data-id="${CSS.escape(id)}"]`)?.closest("li");
}

/**
 * A card.
 *
 * @param {object} memory as the API has it
 * @param {object} frame the view's: names of projects, and what the key may
 * @param {object} options `body`, nodes in the place of the text; `level` of the heading; `extra` nodes; `dated` for whole dates
 */
export function memoryCard(memory, frame, { body, level = "h3", extra = [], dated = false, story = false } = {}) {
  const metadata = memory.metadata ?? {};
  const session = memory.serverSessionId && !story
    && h("a", { href: `#/sessions/${encodeURIComponent(memory.serverSessionId)}` }, "Session");
  const title = titleOf(memory);
  const card = h("article.card.memory", { "data-id": memory.id },
    h("div.line", {},
      badge(words(memory.kind), TONES[memory.kind]),
      h("a.plainly", { href: `#/memories/${encodeURIComponent(memory.id)}` }, when(memory.createdAtEpoch, dated ? moment : clock)),
      !frame.projectId && !story && h("span", {}, frame.projectName(memory.projectId)),
      session),
    frame.may("memories:write")
      && h("button.quiet.corner", { type: "button", "aria-label": `Forget “${beginning(title)}”`, on: { click: () => forgetMemory(memory, frame) } },
        "Forget"),
    h(level, { dir: "auto" }, prose(title)),
    body ?? bodyOf(memory, title),
    chips(metadata),
    extra,
    origin(memory, frame));
  if (memory.kind === "summary") card.classList.add("summary");
  return card;
}

function bodyOf(memory, title) {
  const metadata = memory.metadata ?? {};
  const parts = Object.entries(SUMMARY_PARTS).filter(([name]) => name !== "request" && text(metadata[name]));
  if (memory.kind === "summary" && parts.length) {
    return h("dl.parts", {}, parts.map(([name, label]) => h("div", {}, h("dt", {}, label), h("dd", {}, longText(text(metadata[name]))))));
  }
  const facts = texts(metadata.facts);
  const narrative = text(metadata.narrative);
  if (narrative || facts.length) {
    return [
      text(metadata.subtitle) && h("p.subtitle", { dir: "auto" }, prose(text(metadata.subtitle))),
      narrative && longText(narrative),
      facts.length > 0 && listed(facts.slice(0, SOME)),
      facts.length > SOME && h("details", {}, h("summary", {}, count(facts.length - SOME, "more fact")), listed(facts.slice(SOME))),
    ];
  }
  const content = text(memory.content);
  const rest = content.startsWith(title) ? content.slice(title.length).trim() : content;
  return rest && longText(rest);
}

const listed = (facts) => h("ul.facts", { dir: "auto" }, facts.map((fact) => h("li", {}, prose(fact))));

function chips(metadata) {
  const files = [...new Set([...texts(metadata.files_modified), ...texts(metadata.files_read)])];
  const concepts = texts(metadata.concepts);
  if (!files.length && !concepts.length) return null;
  return h("div.chips", {},
    concepts.map((concept) => h("span.chip", {}, words(concept))),
    files.slice(0, SOME).map((file) => h("span.chip.file", {}, path(file))),
    files.length > SOME && h("details", {}, h("summary", {}, count(files.length - SOME, "more file")),
      h("div.chips", {}, files.slice(SOME).map((file) => h("span.chip.file", {}, path(file))))));
}

async function forgetMemory(memory, frame) {
  const done = await ask({
    title: "Forget this memory?",
    content: [h("p.clamp", { dir: "auto" }, titleOf(memory)), h("p.quietly", {}, "It is removed for good, and no agent finds it again.")],
    action: "Forget it",
    danger: true,
    act: async () => {
      await call("DELETE", `/v1/memories/${encodeURIComponent(memory.id)}`);
      return true;
    },
  });
  if (!done) return;
  frame.announce("The memory is forgotten.");
  frame.gone(memory.id);
  refocus();
}

/** Memories by day, newest first; each is there once, wherever it came from. */
export class MemoryList {
  #cards = new Map();
  #days = new Map();
  #frame;

  constructor(frame) {
    this.#frame = frame;
    this.element = h("div");
  }

  get size() {
    return this.#cards.size;
  }

  has(id) {
    return this.#cards.has(id);
  }

  /** Put a memory in its place; one that is there already is shown as it is now, or stays as open as it is if it is the same. */
  add(memory, { fresh = false } = {}) {
    const said = JSON.stringify(memory);
    if (this.#cards.get(memory.id)?.said === said) return;
    this.remove(memory.id);
    const card = memoryCard(memory, this.#frame);
    if (fresh) card.classList.add("fresh");
    const item = h("li", {}, card);
    const list = this.#dayOf(memory.createdAtEpoch);
    const entry = { item, memory };
    const position = list.entries.findLastIndex((other) => isBehind(memory, other.memory)) + 1;
    const next = list.entries[position];
    list.entries.splice(position, 0, entry);
    if (next) next.item.before(item);
    else list.element.append(item);
    this.#cards.set(memory.id, { item, list, said });
  }

  remove(id) {
    const found = this.#cards.get(id);
    if (!found) return;
    this.#cards.delete(id);
    found.item.remove();
    found.list.entries = found.list.entries.filter((entry) => entry.memory.id !== id);
    if (found.list.entries.length === 0) {
      this.#days.delete(found.list.key);
      found.list.section.remove();
    }
  }

  clear() {
    this.#cards.clear();
    this.#days.clear();
    this.element.replaceChildren();
  }

  #dayOf(epoch) {
    const key = dayKey(epoch);
    const known = this.#days.get(key);
    if (known) return known;
    const element = h("ol.stack");
    const section = h("section.day", {}, h("h2", {}, day(epoch)), element);
    const made = { key, element, section, entries: [] };
    const next = [...this.#days.keys()].filter((other) => other < key).sort().pop();
    this.#days.set(key, made);
    if (next) this.#days.get(next).section.before(section);
    else this.element.append(section);
    return made;
  }
}
