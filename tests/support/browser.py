"""The viewer in a real Chromium: opened, signed in to, and held to what no page of it may ever do."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped] # it has no types
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Playwright, expect

from tests.support.http import PATIENCE_S, Server
from tests.support.tiers import cannot_run

PROGRAMS = ("chromium", "google-chrome")

#: Seconds that a browser may take to start on a busy machine.
START_S = 180.0

#: No sandbox, because tests also run as root; nothing is to be asked of any host but the server.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

#: Chromium says so of every answer that is an error, which some tests want.
_ANSWERED = re.compile(r"^Failed to load resource: (the server responded with a status of|net::ERR_)")

_WATCH_POLICY = """
window.violations = [];
addEventListener("securitypolicyviolation", (event) => violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
"""

#: Resolves with where the last card stands when that has not changed for fifteen frames: what comes into the window gets
#: its own height there, and moves others.
_AT_REST = """new Promise((done) => {
  let place, frames;
  const look = () => {
    const now = [...document.querySelectorAll("main article")].at(-1).getBoundingClientRect().top;
    frames = now === place ? frames + 1 : 0;
    place = now;
    if (frames < 15) requestAnimationFrame(look);
    else done(place);
  };
  look();
})"""

#: Opens what is closed, and resolves with how much that was when the page has been told, which then fetches what is in it.
_UNFOLD = """async (closed) => {
  closed.forEach((one) => one.click());
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return closed.length;
}"""

#: Resolves when nothing fades or moves any more but what does so without end.
_STILL = """Promise.allSettled(document.getAnimations()
  .filter((one) => one.effect?.getComputedTiming().endTime !== Infinity)
  .map((one) => one.finished)).then(() => document.fonts.ready).then(() => null)"""

expect.set_options(timeout=PATIENCE_S * 1000)

VIEWS = ("Timeline", "Search", "Sessions", "Jobs", "Usage", "Keys")


def launch(playwright: Playwright) -> Browser:
    """Start the browser that Debian has; a tier without one says so."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        cannot_run("there is no chromium here: `hack/setup test` installs it")
    return playwright.chromium.launch(executable_path=program, args=ARGUMENTS, timeout=START_S * 1000)


@dataclass
class Viewer:
    """A tab with the viewer.

    Parameters:
        base: where the server is found, if that is not its own address; without a slash at its end.
        problems: what scripts and the browser complained about, but for answers that are errors.
        asked: addresses of everything that was loaded.
    """

    page: Page
    server: Server
    base: str = ""
    problems: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE_S * 1000)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.problems.append(f"{error.name}: {error.message}"))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.add_init_script(_WATCH_POLICY)

    @property
    def url(self) -> str:
        return self.base or self.server.url

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not _ANSWERED.match(message.text):
            self.problems.append(message.text)

    def open(self, path: str = "/") -> Viewer:
        """Go to an address, and wait until the page knows that it is there."""
        self.page.goto(self.url + path)
        # Of another place in the same page it is told by an event, which comes before what is asked for behind it.
        self.page.evaluate("new Promise((done) => setTimeout(done))")
        return self

    def sign_in(self, key: str, path: str = "/") -> Viewer:
        """Come in with a key, and wait until the view and its stream are there."""
        self.open(path)
        self.page.get_by_label("API key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("navigation", name="Views")).to_be_visible()
        self.wait_live()
        self.settled()
        return self

    def wait_live(self) -> None:
        expect(self.page.locator(".live")).to_have_attribute("data-state", "live")

    def go(self, view: str) -> Viewer:
        """Choose a view, and wait until it has what it shows."""
        self.page.get_by_role("navigation", name="Views").get_by_role("link", name=view).click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text(view)
        self.settled()
        return self

    def unfold(self) -> None:
        """Open all that can be opened, and what shows then."""
        closed = self.page.locator("main details:not([open]) > summary")
        while closed.evaluate_all(_UNFOLD):
            self.settled()

    def settled(self) -> None:
        expect(self.page.locator("[aria-busy], .waiting")).to_have_count(0)

    def at_rest(self) -> float:
        """Wait until nothing moves. Returns: where the last card stands, in pixels from the window's top."""
        place: float = self.page.evaluate(_AT_REST)
        return place

    def card(self, text: str) -> Locator:
        """The card that says something."""
        return self.page.get_by_role("article").filter(has_text=text)

    def insist_on(self, wanted: Locator) -> None:
        """Ask again for what the server could not answer yet, until something is shown.

        The page also asks by itself when its stream is back, so a button to ask again may go at any moment.

        Raises:
            AssertionError: `PATIENCE_S` went by.
        """
        again = self.page.get_by_role("button", name="Try again")
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            expect(wanted.or_(again).first).to_be_visible()
            if wanted.is_visible():
                return
            again.evaluate_all("buttons => buttons.forEach((button) => button.click())")
            self.settled()
        raise AssertionError("the page still offers to try again")

    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        wider: int = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        return wider

    def picture(self, name: str, *, whole: bool = True) -> None:
        """Leave a picture where the variable SCREENSHOTS names a directory, for somebody to look at.

        Parameters:
            whole: of the whole page, and not of the window alone.
        """
        if folder := os.environ.get("SCREENSHOTS"):
            self.page.screenshot(path=f"{folder}/{name}.png", full_page=whole)

    def accessibility(self, *, leave_out: Sequence[str] = ()) -> list[str]:
        """What axe finds serious or worse, by WCAG 2.2 AA and axe's own best practices.

        Parameters:
            leave_out: selectors of what is not looked at.
        """
        # Of what is about to fade in, the colours are none that anybody reads.
        self.page.evaluate(_STILL)
        context = {"exclude": [[selector] for selector in leave_out]} if leave_out else None
        ran = Axe().run(self.page, context, options={"resultTypes": ["violations"]})
        found = ran.response["violations"]
        return [
            f"{rule['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
            for rule in found
            for node in rule["nodes"]
            if rule["impact"] in {"serious", "critical", "moderate"}
        ]

    def check(self) -> None:
        """Fail if a script failed, the policy was violated, or anything was asked of another host or with a key in it."""
        assert not self.problems, self.problems
        violations = self.page.evaluate("window.violations")
        assert not violations, violations
        own = urlsplit(self.url).netloc
        elsewhere = [url for url in self.asked if urlsplit(url).netloc != own or "cmem_" in url]
        assert not elsewhere, elsewhere


@contextmanager
def viewing(browser: Browser, server: Server, *, url: str = "", **options: Any) -> Iterator[Viewer]:
    """A tab of its own, held at its end to what no page may do.

    Parameters:
        url: where the server is to be found, if that is not its own address.
        options: of the browser's context, such as `color_scheme`.
    """
    context: BrowserContext = browser.new_context(locale="en-GB", **options)
    try:
        viewer = Viewer(context.new_page(), server, url)
        yield viewer
        viewer.check()
    finally:
        context.close()
