/** Work for the provider: what waits, what failed and why, and what can be done about it. */

import { call } from "./api.js";
import { Arrivals } from "./arrivals.js";
import { ask } from "./dialogs.js";
import { h, put } from "./dom.js";
import { count, number, words } from "./format.js";
import { empty, fetchFor, field, head, hearing, isBehind, looking, pager, passOver, refocus, select, show, takeAway } from "./parts.js";
import { queue } from "./queue.js";
import { jobActions, jobLine, jobLink, jobName, jobTrouble } from "./steering.js";

const STATES = ["queued", "processing", "failed", "completed", "cancelled"];
const CLASSES = ["", "transient", "rate_limit", "quota_exhausted", "auth_invalid", "unrecoverable", "parse_error", "unknown"];
const REFRESH_MS = 400;

/** The stream does not tell of everything that the queue shows: not of a summary that is queued, of a budget, or of workers that go. */
const EVERY_MS = 10_000;

/** How many times as long as a look took is waited for the next. */
const REST = 10;

/** Jobs that are queued again by one question, at most. */
const MOST = 10_000;

export function jobs(frame, { query }) {
  const { signal } = frame;
  const filters = h("div.filters", { role: "group", "aria-label": "State" });
  const body = h("div");
  const list = h("ol.stack");
  const pages = pager(body, () => fetchPage(cursor), add);
  /** What is shown: each `job`, and its `item`. */
  const rows = new Map();
  const arrivals = new Arrivals(list, enter, ["new job", "new jobs"]);
  let state = STATES.includes(query.get("state")) ? query.get("state") : "";
  let cursor = null;
  /** The last that was fetched, where there are more behind it. */
  let end = null;
  const waits = queue();
  let counting = false;
  let changed = false;

  const path = () => (frame.projectId ? `/v1/projects/${encodeURIComponent(frame.projectId)}/jobs` : "/v1/jobs");
  // One that is there and empty asks for pages by cursor, from the newest.
  const fetchPage = (from) => call("GET", `${path()}?cursor=`, { query: { status: state, limit: 50, cursor: from }, signal });

  const buttons = ["", ...STATES].map((name) => {
    const figure = h("b");
    const button = h("button", { type: "button", "aria-pressed": String(name === state), on: { click: () => choose(name) } },
      name ? words(name) : "All", figure);
    return { name, button, figure };
  });
  put(filters, buttons.map((one) => one.button));

  function choose(name) {
    state = name;
    frame.keep({ state });
    for (const one of buttons) one.button.setAttribute("aria-pressed", String(one.name === name));
    load();
  }

  /** How many there are of each, and what waits. */
  const countAll = looking(() => call("GET", "/v1/jobs/counts", { query: { projectId: frame.projectId }, signal }), (counts) => {
    const every = Object.values(counts.states).reduce((sum, one) => sum + one, 0);
    for (const { name, figure } of buttons) figure.textContent = number(name ? counts.states[name] : every);
    waits.tell(counts);
  });

  /** A burst of news is one look, and what comes during a look asks for another; long looks, at very many jobs, are rare. */
  async function countSoon() {
    changed = true;
    if (counting) return;
    counting = true;
    let pause = REFRESH_MS;
    while (changed) {
      await new Promise((resolve) => { setTimeout(resolve, pause); });
      if (signal.aborted) return;
      changed = false;
      const began = performance.now();
      await countAll().catch(passOver);
      pause = Math.min(Math.max(REFRESH_MS, REST * (performance.now() - began)), EVERY_MS);
    }
    counting = false;
  }

  const watching = setInterval(() => { if (body.isConnected && document.visibilityState === "visible") countSoon(); }, EVERY_MS);
  signal.addEventListener("abort", () => clearInterval(watching), { once: true });

  function add(page) {
    for (const job of page.jobs) {
      arrivals.drop(job.id);
      place(job);
    }
    cursor = page.nextCursor;
    end = cursor === null ? null : page.jobs.at(-1);
    return cursor !== null;
  }

  function load() {
    countAll().catch(passOver);
    arrivals.clear();
    return show(body, async () => {
      const page = await fetchPage(null);
      return () => {
        rows.clear();
        put(list);
        pages.offer(add(page));
        return rows.size ? [list, pages.holder] : empty("No jobs here", state
          ? `There is no ${state} job.` : "A job is made for every event, and for every session that ends.");
      };
    });
  }

  /** Show a job where it stands already, or at the end, or at the top when it is new. */
  function place(job, { fresh = false } = {}) {
    const item = h("li", {}, row(job));
    const known = rows.get(job.id)?.item;
    if (known?.isEqualNode(item)) return;
    const focused = known?.contains(document.activeElement);
    if (known) known.replaceWith(item);
    else if (fresh) list.prepend(item);
    else list.append(item);
    rows.set(job.id, { job, item });
    if (focused) refocus(item.querySelector("button"));
  }

  const row = (job) => h("article.card.row.split", { "data-id": job.id },
    h("div.row", {},
      jobLine(job, frame),
      h("h2", {}, jobLink(job, jobName(job), " ", h("code.quietly", {}, job.sourceId.slice(0, 8)))),
      jobTrouble(job)),
    h("div.actions", {}, jobActions(job, frame, steered)));

  function steered(job) {
    told({ event: "job", data: { generationJob: job } });
    // News of it may have come first, and have taken the button that had the focus.
    refocus(rows.get(job.id)?.item.querySelector("button"));
  }

  /** Queue many that failed again: first asked what that would be, then done. */
  async function redrive() {
    const lane = select([["", "Events and summaries"], ["event", "Events"], ["summary", "Summaries"]], "", look);
    const kind = select(CLASSES.map((one) => [one, one ? words(one) : "Any error"]), "", look);
    const said = h("p", { role: "status" });
    const wanted = (dryRun) => ({
      body: { projectId: frame.projectId || null, lane: lane.value || null, classification: kind.value || null, limit: MOST, dryRun },
    });
    let asked = 0;
    async function look() {
      const mine = ++asked;
      const tell = (text) => { if (mine === asked) said.textContent = text; };
      tell("Counting…");
      try {
        const { matched } = await call("POST", "/v1/jobs/redrive", wanted(true));
        tell(`${matched > MOST ? `${number(MOST)} of ` : ""}${count(matched, "failed job")} would be queued again.`);
      } catch (error) {
        passOver(error);
        tell(error.message);
      }
    }
    look();
    const done = await ask({
      title: "Queue failed jobs again",
      content: [field("What they were for", lane), field("Why they failed", kind), said],
      action: "Queue them again",
      act: () => call("POST", "/v1/jobs/redrive", wanted(false)),
    });
    if (!done) return;
    frame.announce(`${count(done.redriven, "job")} queued again.`);
    load();
  }

  function settle(job) {
    countSoon();
    if (state && job.status !== state) {
      drop(job.id);
      arrivals.drop(job.id);
    } else if (rows.has(job.id)) place(job);
    else if (arrivals.has(job.id)) arrivals.change(job.id, job);
    // One of a page that nobody asked for yet comes with it.
    else if (!end || !isBehind(job, end)) arrivals.take(job.id, job);
  }

  /** What came, changed or went while nobody listened. */
  function catchUp() {
    return fetchFor(body, () => fetchPage(null), ({ jobs: found, nextCursor }) => {
      const ids = new Set(found.map((job) => job.id));
      for (const job of [...found].reverse()) settle(job);
      const reaches = (job) => nextCursor === null || !isBehind(job, found.at(-1));
      for (const { job } of [...rows.values()].filter((one) => !ids.has(one.job.id) && reaches(one.job))) drop(job.id);
    });
  }

  function drop(id) {
    const known = rows.get(id);
    if (!known) return;
    rows.delete(id);
    takeAway(known.item);
    if (rows.size === 0) load();
  }

  function enter(job) {
    place(job, { fresh: true });
    if (!list.isConnected) put(body, list, pages.holder);
  }

  const told = hearing(body, hear);

  function hear({ event, data }) {
    if (event === "job") settle(data.generationJob);
    if (event === "reset" || event === "purged") load();
    if (event === "open") {
      countSoon();
      catchUp().catch(passOver);
    }
  }

  load();
  const action = frame.may("memories:write") && h("button", { type: "button", on: { click: redrive } }, "Queue failed jobs again…");
  return {
    element: h("div.view", {}, head("Jobs", "Each turns an event, or a session that ended, into memories.", action || []),
      waits.element, filters, arrivals.element, body),
    hear: told,
  };
}
