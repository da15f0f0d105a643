/** Light, dark, or as the system has it; the choice stays in this browser. */

import { h, icon, put } from "./dom.js";

const STORED = "claude-mem.theme";
const NAMES = { system: "System theme", light: "Light theme", dark: "Dark theme" };
const ORDER = Object.keys(NAMES);

let chosen;
/** Shows the choice on the button that is there. */
let tell = () => {};
read();

// Another tab may choose.
addEventListener("storage", ({ key }) => {
  if (key !== STORED && key !== null) return;
  read();
  tell();
});

function read() {
  chosen = localStorage.getItem(STORED);
  if (!ORDER.includes(chosen)) chosen = "system";
  apply();
}

function apply() {
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
}

/** A button that goes through the themes. */
export function themeButton() {
  const button = h("button.quiet", { type: "button", on: { click: next } });
  function show() {
    put(button, icon(chosen));
    button.setAttribute("aria-label", `${NAMES[chosen]}; change`);
    button.title = NAMES[chosen];
  }
  function next() {
    chosen = ORDER[(ORDER.indexOf(chosen) + 1) % ORDER.length];
    localStorage.setItem(STORED, chosen);
    apply();
    show();
  }
  tell = show;
  show();
  return button;
}
