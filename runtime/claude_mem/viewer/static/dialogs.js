/** Questions in native dialogs: Escape leaves them, and the focus goes back to where it was. */

import { h } from "./dom.js";
import { problemLine, refocus } from "./parts.js";

/** How many there were: one may open over another. */
let asked = 0;

/**
 * Ask for something, and do it.
 *
 * @param {object} question `title`; `content`, nodes; `action`, words on the button; `danger`; `act`, an async function that does it,
 *   whose result is this one's, also where the person left meanwhile; what it throws is shown in the dialog, or in another one. Without `act` there is one
 *   button, which closes, and the heading has the focus, so that no key that was meant for something else presses one. `keep` where it is
 *   the only place of what it shows: then nothing but the button closes it, not even the end of the key.
 * @returns {Promise<any>} undefined when the person did not
 */
export function ask({ title, content = [], action, danger = false, act, keep = false }) {
  return new Promise((resolve, reject) => {
    let result;
    let acting = false;
    const heading = `dialog-title-${++asked}`;
    const problems = h("div");
    const submit = act && h(danger ? "button.primary.danger" : "button.primary", { type: "submit" }, action);
    const close = h("button", { type: "button", on: { click: () => dialog.close() } }, act ? "Cancel" : "Done");
    const form = h("form", { method: "dialog", on: { submit: send } },
      h("h2", { id: heading, tabindex: !act && "-1", autofocus: !act }, title), content, problems, h("div.buttons", {}, close, submit));
    const dialog = h("dialog", {
      "aria-labelledby": heading, "data-keep": keep,
      // Chromium lets the page refuse the first Escape only, unless it is told here.
      closedby: keep && "none",
      on: { cancel: (event) => { if (keep) event.preventDefault(); }, close: end },
    }, form);

    async function send(event) {
      event.preventDefault();
      if (!act) return dialog.close();
      const focused = document.activeElement === submit;
      acting = true;
      submit.disabled = true;
      problems.replaceChildren();
      try {
        result = await act();
        dialog.close();
      } catch (error) {
        if (error.name === "ApiError") {
          if (dialog.isConnected) problems.replaceChildren(problemLine(error.message));
          else ask({ title: "That did not work", content: [h("p", {}, title), problemLine(error.message)] });
        } else {
          reject(error);
          dialog.close();
        }
      } finally {
        acting = false;
        submit.disabled = false;
        if (!dialog.isConnected) resolve(result);
        else if (focused && dialog.open) refocus(submit);
      }
      return undefined;
    }

    function end() {
      dialog.remove();
      // Where something was done, who asked knows where to go on.
      if (result === undefined) refocus();
      if (!acting) resolve(result);
    }

    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Show a key, this once. */
export function showSecret({ title, secret, command }) {
  const said = h("span.quietly", { role: "status" });
  const copy = (text, what) => h("button", { type: "button", on: { click: async () => {
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = `${what} copied.`;
    } catch {
      said.textContent = "The browser does not let the page copy: select the text instead.";
    }
  } } }, `Copy ${what.toLowerCase()}`);
  return ask({
    title,
    keep: true,
    content: [
      h("p", {}, "Keep it now: it is not shown again, and the server does not know it."),
      h("code.secret", {}, secret),
      h("div.actions", {}, copy(secret, "Key"), command && copy(command, "Connect command"), said),
    ],
  });
}
