/**
 * Elements from plain values.
 *
 * What is remembered may be anything, so text is only ever set as text: nothing in the viewer parses markup.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An HTML element.
 *
 * @param {string} tag its name, with classes behind dots, such as `p.quietly`
 * @param {object} properties attributes; `on` maps events to handlers; null, undefined and false leave one out
 * @param {...(Node|string|number|null|undefined|false|Array)} children nodes and texts
 */
export function h(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  return fill(document.createElement(name), classes, properties, children);
}

/** The same for SVG. */
export function s(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  return fill(document.createElementNS(SVG, name), classes, properties, children);
}

function fill(element, classes, properties, children) {
  if (classes.length) element.classList.add(...classes);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    } else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...present(children));
  return element;
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Put other children in an element. */
export function put(element, ...children) {
  element.replaceChildren(...present(children));
  return element;
}

const ICONS = {
  timeline: "M4 6h10M4 12h16M4 18h7",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14M20 20l-4-4",
  sessions: "M4 5h16v11H9l-5 4z",
  jobs: "M12 3v4M12 17v4M3 12h4M17 12h4M6 6l2.5 2.5M15.5 15.5L18 18M18 6l-2.500 2.500M8.500 15.500L6 18",
  usage: "M5 20v-7M12 20V4M19 20v-11",
  keys: "M15 4a5 5 0 1 0 0 10 5 5 0 0 0 0-10M11.500 12.500L4 20v0h4v-3h3",
  light: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.500 1.500M17.500 17.500L19 19M19 5l-1.500 1.500M6.500 17.500L5 19",
  dark: "M20 14A8 8 0 1 1 10 4a6.500 6.500 0 0 0 10 10z",
  system: "M4 5h16v11H4zM9 20h6M12 16v4",
  leave: "M10 4H5v16h5M15 8l4 4-4 4M19 12H9",
};

/** A picture beside words, which screen readers leave out. */
export function icon(name) {
  return s("svg.icon", { viewBox: "0 0 24 24", "aria-hidden": "true" }, s("path", { d: ICONS[name] }));
}
