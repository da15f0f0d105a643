/** Small parts that every view uses: messages, badges, pages, fields. */

import { h } from "./dom.js";
import { moment, utc } from "./format.js";

/** Where nothing is to be shown: what it means, and what to do. */
export function empty(title, text, ...more) {
  return h("div.note", {}, h("h2", {}, title), h("p", {}, text), ...more);
}

/** What went wrong, with a way to try it again. */
export function problem(error, again) {
  return h("div.note.problem", { role: "alert" },
    h("h2", {}, "That did not work"), h("p", {}, error.message),
    again && h("button", { type: "button", on: { click: again } }, "Try again"));
}

/** The same on one line. */
export const problemLine = (message) => h("p.problem-line", { role: "alert" }, message);

/** Stands where something is about to be. */
export function waiting(lines = 3) {
  return h("div.waiting", { role: "status" }, h("span.unseen", {}, "Loading"), Array.from({ length: lines }, () => h("i")));
}

export const badge = (text, tone) => h("span.badge", { "data-tone": tone }, text);

/** A moment in the reader's own time; in UTC for who looks closer. */
export function when(epoch, show = moment) {
  return h("time", { datetime: new Date(epoch).toISOString(), title: utc(epoch) }, show(epoch));
}

/** A text in which code between backquotes is set as code. */
export function prose(text) {
  const parts = [];
  let at = 0;
  for (const found of text.matchAll(/```[^\n`]*\n(.*?)\n?```|`([^`\n]+)`/gs)) {
    parts.push(text.slice(at, found.index), found[2] === undefined ? h("code.block", {}, found[1]) : h("code", {}, found[2]));
    at = found.index + found[0].length;
  }
  return [...parts, text.slice(at)].filter((part) => part !== "");
}

/** A file's path, which may go on in the next line behind each of its parts. */
export const path = (text) => text.split(/(?<=[/\\])/).flatMap((part, number) => (number ? [h("wbr"), part] : [part]));

/** A label with its control. */
export function field(label, control, hint) {
  control.id ||= `field-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  const said = hint && h("span.hint", { id: `${control.id}-hint` }, hint);
  if (said) control.setAttribute("aria-describedby", said.id);
  return h("div.field", {}, h("label", { for: control.id }, label), control, said);
}

export function select(options, chosen, change) {
  return h("select", { on: { change: (event) => change?.(event.target.value) } },
    options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
}

/** A view's head: its heading, a line about it, and what can be done. */
export function head(title, about, ...actions) {
  return h("div.head", {},
    h("div", {}, h("h1", { tabindex: "-1" }, title), about && h("p", {}, about)),
    actions.length > 0 && h("div.actions", {}, actions));
}

/** A link from one thing to the list that it belongs to: to where the list was left, if that is one step back. */
export function backLink(frame, name, text) {
  function back(event) {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || !frame.cameFrom(name)) return;
    event.preventDefault();
    history.back();
  }
  return h("p", {}, h("a", { href: `#/${name}`, on: { click: back } }, `‹ ${text}`));
}

/** A text that is long may be shown in part, until somebody asks for the rest. */
export function longText(text) {
  const long = text.length > 600 || text.split("\n").length > 7;
  const body = h(long ? "p.text.cut" : "p.text", { dir: "auto" }, prose(text));
  if (!long) return body;
  const button = h("button.link", { type: "button", "aria-expanded": "false", on: { click: toggle } }, "Show all");
  function toggle() {
    const open = body.classList.toggle("cut") === false;
    button.textContent = open ? "Show less" : "Show all";
    button.setAttribute("aria-expanded", String(open));
  }
  return [body, h("div", {}, button)];
}

/**
 * A button that fetches the next page as long as there is one.
 *
 * @param {() => Promise<boolean>} load fetches a page; whether there are more
 */
export function pager(load) {
  const holder = h("div.more");
  const button = h("button", { type: "button", on: { click: next } }, "Show more");
  async function next() {
    button.disabled = true;
    button.textContent = "Loading…";
    holder.replaceChildren(button);
    try {
      if (!(await load())) holder.replaceChildren();
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.name !== "ApiError") throw error;
      holder.prepend(problemLine(error.message));
    } finally {
      button.disabled = false;
      button.textContent = "Show more";
    }
  }
  return { holder, offer: (more) => holder.replaceChildren(...(more ? [button] : [])) };
}

const FAILED = new Error("The viewer could not show what the server answered. The browser’s console says more; reload the page for its latest release.");

/** What is told of places that are filled just now: what fills them may have been read before it happened. */
const FILLED = "filled";

/** The latest filling of each place; one that was begun before it does not end it. */
const fillings = new WeakMap();

/** Fill a place with what `make` brings, with words meanwhile and words when it fails. */
export async function show(place, make, lines) {
  const mine = {};
  fillings.set(place, mine);
  place.setAttribute("aria-busy", "true");
  place.replaceChildren(waiting(lines));
  try {
    const made = [await make()].flat(Infinity).filter(Boolean);
    // What was asked for since has the place; this answer was only slower.
    if (fillings.get(place) !== mine) return;
    place.replaceChildren(...made);
  } catch (error) {
    if (error.name === "AbortError" || error.name === "SignedOut") throw error;
    if (fillings.get(place) !== mine) return;
    const again = () => show(place, make, lines);
    place.replaceChildren(problem(error.name === "ApiError" ? error : FAILED, again));
    if (error.name !== "ApiError") throw error;
  } finally {
    if (fillings.get(place) === mine) place.removeAttribute("aria-busy");
  }
  if (fillings.get(place) === mine) place.dispatchEvent(new Event(FILLED));
}

/** Hears news of what fills a place; while it is being filled they are kept for when it is. */
export function hearing(place, hear) {
  let kept = [];
  place.addEventListener(FILLED, () => {
    const missed = kept;
    kept = [];
    for (const news of missed) heard(news);
  });
  function heard(news) {
    if (place.hasAttribute("aria-busy")) kept.push(news);
    else hear(news);
  }
  return heard;
}

/** A part that is filled when somebody opens it, and only then. */
export function unfolding(title, make, lines = 1) {
  const place = h("div.unfolded");
  const fetchOnce = () => { if (details.open && !place.hasChildNodes()) show(place, make, lines); };
  const details = h("details", { on: { toggle: fetchOnce } }, h("summary", {}, title), place);
  return details;
}

/** The stream comes back by itself, and so does this. */
export function passOver(error) {
  if (error.name !== "ApiError") throw error;
}
