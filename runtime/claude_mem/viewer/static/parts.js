/** Small parts that every view uses: messages, badges, pages, fields. */

import { h, put } from "./dom.js";
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

/** Lead the focus to an element, or to the view's heading, if what had it is gone. */
export function refocus(element) {
  if (document.activeElement === document.body) (element ?? document.querySelector("main h1"))?.focus({ preventScroll: true });
}

/** Take an element away, and lead the focus to the view's heading if it was there. */
export function takeAway(element) {
  const focused = element.contains(document.activeElement);
  element.remove();
  if (focused) refocus();
}

/**
 * A button that fetches the next page of what fills a place, as long as there is one.
 *
 * @param {() => Promise<object>} fetchNext fetches a page
 * @param {(page: object) => boolean} add shows it; whether there are more. It is not called where the place was filled anew meanwhile.
 */
export function pager(place, fetchNext, add) {
  const holder = h("div.more", { tabindex: "-1" });
  // Another button each time: what comes of one that was there before is not said of this one.
  const offer = (more) => put(holder, more && h("button", { type: "button", on: { click: next } }, "Show more"));
  async function next({ currentTarget: button }) {
    const focused = button === document.activeElement;
    button.disabled = true;
    button.textContent = "Loading…";
    put(holder, button);
    try {
      await fetchFor(place, fetchNext, (page) => offer(add(page)));
    } catch (error) {
      if (error.name === "AbortError") return;
      if (holder.contains(button)) offer(true).prepend(problemLine(sayable(error).message));
      if (error.name !== "ApiError") throw error;
    } finally {
      if (focused) refocus(holder.querySelector("button") ?? holder);
    }
  }
  return { holder, offer };
}

const FAILED = new Error("The viewer could not show what the server answered. The browser’s console says more; reload the page for its latest release.");

/** An error, in words for people. */
const sayable = (error) => (error.name === "ApiError" ? error : FAILED);

/** What is told of places when nothing is under way for them any more. */
const FILLED = "filled";

/** The latest filling of each place: how much is `fetching` for it, and where it failed, what tries it `again`. */
const fillings = new WeakMap();

/** Something that was under way for a filling has ended. */
function settled(place, filling) {
  filling.fetching -= 1;
  if (filling.fetching === 0 && fillings.get(place) === filling) place.dispatchEvent(new Event(FILLED));
}

/** Whether an error is that the view, or the person, is gone: then no news are told any more. */
function leaves(place, error) {
  const gone = error.name === "AbortError" || error.name === "SignedOut";
  if (gone) fillings.delete(place);
  return gone;
}

/**
 * Fill a place with what `make` brings, with words meanwhile and words when it fails.
 *
 * @param {() => Promise<any>} make brings nodes, or a function that does, which is called at once unless something else was asked for since:
 *   what a view keeps beside the place is to be changed there, so that it never is of two answers
 */
export async function show(place, make, lines) {
  const mine = { fetching: 1, again: null };
  const focused = place.contains(document.activeElement);
  fillings.set(place, mine);
  place.setAttribute("aria-busy", "true");
  put(place, waiting(lines));
  try {
    const made = await make();
    // What was asked for since has the place; this answer was only slower.
    if (fillings.get(place) !== mine) return;
    put(place, typeof made === "function" ? made() : made);
  } catch (error) {
    if (leaves(place, error)) throw error;
    if (fillings.get(place) !== mine) return;
    mine.again = () => show(place, make, lines);
    put(place, problem(sayable(error), mine.again));
    if (error.name !== "ApiError") throw error;
  } finally {
    if (fillings.get(place) === mine) {
      place.removeAttribute("aria-busy");
      if (focused) refocus(place.closest("details")?.querySelector("summary"));
      settled(place, mine);
    }
  }
}

/** Fetch something more for a place that is filled, and use it unless the place is filled anew meanwhile. */
export async function fetchFor(place, fetch, use) {
  const filling = fillings.get(place);
  // The view, or the person, is gone.
  if (!filling) return;
  filling.fetching += 1;
  try {
    const found = await fetch();
    if (fillings.get(place) === filling) use(found);
  } catch (error) {
    leaves(place, error);
    throw error;
  } finally {
    settled(place, filling);
  }
}

/** What looks again and again: an answer that was overtaken by that of a later look is left out. */
export function looking(fetch, use) {
  let asked = 0;
  let known = 0;
  return async () => {
    const mine = ++asked;
    const found = await fetch();
    if (mine < known) return;
    known = mine;
    use(found);
  };
}

/** Whether one stands behind another in a list that begins with the newest. */
export function isBehind(one, other) {
  return one.createdAtEpoch < other.createdAtEpoch || (one.createdAtEpoch === other.createdAtEpoch && one.id < other.id);
}

/** News at which what could not be fetched may be there again, or another. */
export const ANEW = new Set(["open", "reset", "purged"]);

/**
 * Hears news of what fills a place. While something is fetched for it they are kept: what is fetched may have been read before them. Where
 * that failed they are left out: they are in what is fetched next, and alone they would pass for all there is.
 */
export function hearing(place, hear) {
  let kept = [];
  place.addEventListener(FILLED, () => {
    const missed = kept;
    kept = [];
    for (const news of missed) heard(news);
  });
  function heard(news) {
    const filling = fillings.get(place);
    if (filling?.fetching) kept.push(news);
    else if (!filling?.again) hear(news);
    else if (ANEW.has(news.event)) filling.again();
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
