/** News of a list: shown at once to who watches its beginning, kept behind a button while somebody reads further down or in it. */

import { h, put } from "./dom.js";
import { count } from "./format.js";

/** How far from the top, in pixels, somebody still watches what comes. */
const NEAR_TOP = 8;

export class Arrivals {
  #waiting = new Map();
  #list;
  #show;
  #names;

  /**
   * @param {Element} list what may be read
   * @param {(thing: object) => void} show puts one where it belongs
   * @param {[string, string]} names of one and of many
   */
  constructor(list, show, names) {
    this.#list = list;
    this.#show = show;
    this.#names = names;
    this.element = h("div.arrivals");
  }

  /** Show something, or keep it back; whether it is shown. */
  take(id, thing) {
    if (!this.#waiting.size && !reads(this.#list)) {
      this.#show(thing);
      return true;
    }
    this.#waiting.set(id, thing);
    this.#offer();
    return false;
  }

  /** Whether it is kept back. */
  has(id) {
    return this.#waiting.has(id);
  }

  /** What is kept back is another now. */
  change(id, thing) {
    this.#waiting.set(id, thing);
  }

  drop(id) {
    this.#waiting.delete(id);
    this.#offer();
  }

  clear() {
    this.#waiting.clear();
    this.#offer();
  }

  #offer() {
    const { size } = this.#waiting;
    if (size === 0) put(this.element);
    else if (this.element.firstChild) this.element.firstChild.textContent = this.#words();
    else put(this.element, h("button.primary", { type: "button", on: { click: () => this.#showAll() } }, this.#words()));
  }

  #words() {
    return `${count(this.#waiting.size, ...this.#names)} ↑`;
  }

  #showAll() {
    const things = [...this.#waiting.values()];
    this.clear();
    for (const thing of things) this.#show(thing);
    scrollTo(0, 0);
    document.querySelector("main h1")?.focus({ preventScroll: true });
  }
}

function reads(element) {
  const selection = getSelection();
  return scrollY > NEAR_TOP || element.contains(document.activeElement)
    || element.querySelector("details[open], [aria-expanded='true']") !== null
    || (!selection.isCollapsed && element.contains(selection.anchorNode));
}
