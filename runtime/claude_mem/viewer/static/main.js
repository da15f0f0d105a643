/** The viewer: signing in, the frame around the views, and which view is shown. */

import { ApiError, INVALID, SignedOut, all, call, forget, hasKey, keep, keyStart, part } from "./api.js";
import { h, icon, put } from "./dom.js";
import { beginning } from "./format.js";
import { job } from "./job.js";
import { jobs } from "./jobs.js";
import { keys } from "./keys.js";
import { LeftViews, entryHere } from "./left.js";
import { memory } from "./memory.js";
import { field, problem, problemLine, select, waiting } from "./parts.js";
import { search } from "./search.js";
import { session } from "./session.js";
import { sessions } from "./sessions.js";
import { follow } from "./stream.js";
import { themeButton } from "./theme.js";
import { timeline } from "./timeline.js";
import { usage } from "./usage.js";

const VIEWS = { timeline, search, sessions, jobs, usage, keys };
const NAMES = { timeline: "Timeline", search: "Search", sessions: "Sessions", jobs: "Jobs", usage: "Usage", keys: "Keys" };
/** What has an address of its own, and the view that it belongs to. */
const SINGLE = { sessions: [session, "sessions"], jobs: [job, "jobs"], memories: [memory, "timeline"] };
const PROJECT = "claude-mem.project";
const SCOPES = {
  "memories:write": ["*", "memories:write", "events:write", "sessions:write"],
  administer: ["*", "admin", "memories:admin"],
};
const LIVE = { live: "Live", waiting: "Reconnecting" };

const app = document.getElementById("app");

/**
 * What is shown: its `view`, the `tab` that it belongs to, whose name is also that of the `list` that it may be, its `title`, its `entry`
 * in the history, and `ending`, which ends it.
 */
let shown = null;
const left = new LeftViews();

/** Ends whatever is under way for the person that is left. */
let following = new AbortController();

// Browsers would scroll before there is anything to scroll to.
history.scrollRestoration = "manual";

addEventListener("unhandledrejection", (event) => {
  if (event.reason instanceof SignedOut) {
    event.preventDefault();
    leave(event.reason.message);
  } else if (event.reason?.name === "AbortError") event.preventDefault();
});

/** See who is there: with a key, or without one on a server that lets its own machine in. */
async function begin() {
  put(app, h("div.welcome", {}, waiting(1)));
  try {
    const { authMode } = await call("GET", "/v1/info");
    if (hasKey() || authMode === "local-dev") await enter();
    else leave();
  } catch (error) {
    if (error instanceof SignedOut) leave(hasKey() ? error.message : "");
    else if (error instanceof ApiError) put(app, h("main.plain", {}, problem(error, begin)));
    else throw error;
  }
}

async function enter() {
  const projects = await all("/v1/projects", "projects");
  const known = hasKey() ? await call("GET", "/v1/keys", { query: { active: "true", limit: 200 } }) : { keys: [] };
  const own = known.keys.filter((one) => one.prefix === keyStart());
  openShell(projects, own.length === 1 ? own[0] : null);
}

function leave(reason = "") {
  forget();
  sessionStorage.removeItem(PROJECT);
  endViews();
  following.abort();
  for (const dialog of document.querySelectorAll("dialog:not([data-keep])")) dialog.close();
  welcome(reason);
}

function signOut() {
  part();
  leave();
}

function endViews() {
  left.drop();
  shown?.ending.abort();
  shown = null;
}

function welcome(reason) {
  document.title = "Sign in · claude-mem";
  const input = h("input", {
    type: "password", name: "key", required: true, autocomplete: "current-password", spellcheck: "false", autocapitalize: "off",
  });
  const problems = h("div", {}, reason && problemLine(told(reason)));
  const button = h("button.primary", { type: "submit" }, "Sign in");
  const form = h("form", { on: { submit: send } },
    h("h1", { tabindex: "-1" }, "Sign in"),
    h("p", {}, "See what your agents remember, what is being made of it, and what it costs."),
    // Keeps password managers from asking whose key it is.
    h("input", { type: "text", name: "username", value: "claude-mem", autocomplete: "username", hidden: true }),
    field("API key", input, "Stays in this tab, and is gone when you close it."),
    problems, button);

  async function send(event) {
    event.preventDefault();
    problems.replaceChildren();
    button.disabled = true;
    keep(input.value.trim());
    try {
      await enter();
    } catch (error) {
      forget();
      if (!(error instanceof SignedOut || error instanceof ApiError)) throw error;
      put(problems, problemLine(told(error.message)));
      input.select();
      input.focus();
    } finally {
      button.disabled = false;
    }
  }

  put(app, h("div.welcome", {}, h("main", {}, brand(), form,
    h("div.foot", {}, h("span", {}, "A key comes from ", h("code", {}, "claude-mem server api-key create")), themeButton()))));
  input.focus();
}

function told(message) {
  return message.startsWith(INVALID)
    ? "This key is unknown or has ended, or it may not read: it needs the scope memories:read."
    : message;
}

/** What the address asks for; one that cannot be read asks for nothing. */
function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  try {
    const [name, id] = path.split("/").map(decodeURIComponent);
    return { name, id, query: new URLSearchParams(query) };
  } catch (error) {
    if (error instanceof URIError) return { name: "", query: new URLSearchParams() };
    throw error;
  }
}

/** Note what is chosen in a view in its address, so that the way back leads to it. */
function note(chosen) {
  const [path] = location.hash.split("?");
  const given = new URLSearchParams(Object.entries(chosen).filter(([, value]) => value)).toString();
  history.replaceState(history.state, "", given ? `${path || "#/timeline"}?${given}` : path || "#/timeline");
}

const titled = (title) => `${beginning(title)} · claude-mem`;

const brand = () => h("div.brand", {}, h("img", { src: new URL("icon.svg", import.meta.url).href, alt: "" }), h("span", {}, "claude-mem"));

function openShell(projects, identity) {
  const names = new Map(projects.map((project) => [project.id, project.name]));
  const bound = identity?.projectId ?? null;
  const stored = sessionStorage.getItem(PROJECT);
  const live = h("span.live", { role: "status", "data-state": "waiting" }, h("span.words", {}, "Connecting"));
  const said = h("p.unseen", { role: "status" });
  const main = h("main", { id: "content", tabindex: "-1" });
  const tabs = Object.fromEntries(Object.keys(VIEWS).map((name) => [name, h("a", { href: `#/${name}` }, icon(name), NAMES[name])]));

  const frame = {
    projects,
    identity,
    projectId: bound ?? (names.has(stored) ? stored : ""),
    projectName: (id) => names.get(id) ?? "Another project",
    // A key that is not found among the team's is offered everything: the server says what it may not.
    may: (what) => !identity || SCOPES[what].some((one) => identity.scopes.includes(one)),
    announce: (text) => { said.textContent = text; },
    keep: note,
    gone: (id) => shown?.view.gone?.(id),
    cameFrom: (name) => left.isBefore(name),
  };

  function chosen(projectId) {
    frame.projectId = projectId;
    sessionStorage.setItem(PROJECT, projectId);
    endViews();
    listen();
    route();
  }

  const picker = select(
    [...(projects.length === 1 ? [] : [["", "All projects"]]), ...projects.map((project) => [project.id, project.name])],
    frame.projectId, chosen);
  picker.setAttribute("aria-label", "Project");
  if (projects.length === 1) frame.projectId = projects[0].id;

  function listen() {
    following.abort();
    following = new AbortController();
    const { signal } = following;
    follow({
      projectId: frame.projectId,
      signal,
      hear: (event) => {
        if (signal.aborted) return;
        shown?.view.hear?.(event);
        left.hear(event);
      },
      tell: (state) => {
        live.dataset.state = state;
        live.firstChild.textContent = LIVE[state];
      },
      refused: () => leave("This key has ended. Sign in with another one."),
    });
  }

  /** Show what the address asks for: as it was left, if the way there is one back. */
  function route({ first = false } = {}) {
    const entry = entryHere(shown?.entry);
    if (shown) left.leave(shown, main);
    const known = left.take(entry);
    shown = known?.shown ?? make(entry);
    document.title = shown.title;
    for (const [other, link] of Object.entries(tabs)) {
      if (other === shown.tab) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    put(main, shown.view.element);
    if (first) return;
    if (!known) scrollTo(0, 0);
    if (!(known?.again() || (!known && shown.view.focused?.()))) main.querySelector("h1")?.focus({ preventScroll: true });
  }

  /** The view that the address asks for. */
  function make(entry) {
    const { name, id, query } = place();
    const [build, tab] = (id && Object.hasOwn(SINGLE, name) && SINGLE[name])
      || (Object.hasOwn(VIEWS, name) ? [VIEWS[name], name] : [VIEWS.timeline, "timeline"]);
    const ending = new AbortController();
    const made = { entry, tab, list: build === VIEWS[tab] && tab, ending, title: titled(NAMES[tab]), view: null };
    const named = (title) => {
      made.title = titled(title);
      if (shown === made) document.title = made.title;
    };
    made.view = build({ ...frame, named, signal: ending.signal }, { id, query });
    return made;
  }

  put(app,
    h("a.skip", { href: "#content", on: { click: (event) => { event.preventDefault(); main.focus(); } } }, "Skip to the content"),
    // First, because even a pixel behind the rest would let the page be scrolled.
    said,
    h("div.shell", {},
      h("header.top", {}, brand(), h("div.project", {}, picker),
        h("div.tools", {}, live, themeButton(),
          hasKey() && h("button.quiet", { type: "button", "aria-label": "Sign out", title: "Sign out", on: { click: signOut } },
            icon("leave"), h("span.words", {}, "Sign out")))),
      h("nav.tabs", { "aria-label": "Views" }, h("ul", {}, Object.values(tabs).map((link) => h("li", {}, link)))),
      main));
  onhashchange = () => { if (shown) route(); };
  listen();
  route({ first: true });
}

begin();
