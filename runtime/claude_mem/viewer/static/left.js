/** Views that somebody left, as they were: the way back leads to them, and to the place where they were read. */

/** Views that are kept, and events that one may miss meanwhile, at most. */
const MOST = 8;
const MOST_MISSED = 500;

/** Frames within which a list has its heights again. */
const FRAMES = 12;

const entries = performance.timeOrigin;
let numbered = 0;

/**
 * A name for the place in the tab's history that is shown now.
 *
 * @param {string|undefined} before the name of the place that a link led from, if this is a new one
 */
export function entryHere(before) {
  if (!history.state?.entry) history.replaceState({ entry: `${entries}-${++numbered}`, before }, "");
  return history.state.entry;
}

/** Where somebody reads: how far down, what stands first in the window, and what has the focus. */
function reading(main) {
  const first = [...main.querySelectorAll("li")].find((item) => item.getBoundingClientRect().bottom > 0);
  const focus = main.contains(document.activeElement) ? document.activeElement : null;
  return { y: scrollY, first, top: first?.getBoundingClientRect().top, focus };
}

/** Lead back to it. */
function resume({ y, first, top, focus }) {
  scrollTo(0, y);
  if (first) hold(first, top);
  if (!focus?.isConnected) return false;
  focus.focus({ preventScroll: true });
  return true;
}

/** Keep an element where it stood while what is around it gets its height, unless somebody moves it. */
function hold(element, top) {
  let frames = 0;
  const ending = new AbortController();
  for (const kind of ["wheel", "touchstart", "pointerdown", "keydown"]) {
    addEventListener(kind, () => ending.abort(), { signal: ending.signal, passive: true });
  }
  function look() {
    if (!element.isConnected || frames > FRAMES) ending.abort();
    if (ending.signal.aborted) return;
    frames += 1;
    const off = element.getBoundingClientRect().top - top;
    if (Math.abs(off) >= 1) scrollBy(0, off);
    requestAnimationFrame(look);
  }
  look();
}

export class LeftViews {
  #kept = new Map();

  /**
   * Keep a view that is left, if what it shows is whole and it hears what becomes of that; else end it.
   *
   * @param {object} shown `entry`, `view`, and `ending`, which ends it
   */
  leave(shown, main) {
    const { entry, view, ending } = shown;
    const whole = view.hear && !view.element.querySelector("[aria-busy], .problem, .waiting");
    if (!whole) return ending.abort();
    this.#kept.delete(entry);
    this.#kept.set(entry, { shown, place: reading(main), missed: [] });
    if (this.#kept.size > MOST) this.#end(this.#kept.keys().next().value);
    return undefined;
  }

  /** The view that was left at a place in the history, with `again`, which leads to where it was read and tells it what it missed. */
  take(entry) {
    const found = this.#kept.get(entry);
    if (!found) return null;
    this.#kept.delete(entry);
    const again = () => {
      const focused = resume(found.place);
      for (const event of found.missed) found.shown.view.hear(event);
      return focused;
    };
    return { shown: found.shown, again };
  }

  /** Whether the list of this name is kept one step back. */
  isBefore(name) {
    return this.#kept.get(history.state?.before)?.shown.list === name;
  }

  /** Note an event for those that are kept; one that missed too many is not kept any longer. */
  hear(event) {
    for (const [entry, { missed }] of this.#kept) {
      missed.push(event);
      if (missed.length > MOST_MISSED) this.#end(entry);
    }
  }

  /** Keep none. */
  drop() {
    for (const entry of [...this.#kept.keys()]) this.#end(entry);
  }

  #end(entry) {
    this.#kept.get(entry).shown.ending.abort();
    this.#kept.delete(entry);
  }
}
