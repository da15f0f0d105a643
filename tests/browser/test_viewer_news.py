"""What happens while a view is being fetched: it is in the answer or told by the stream, and either way it is shown."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import APIResponse, Page, Route, expect

from tests.browser.viewer_content import add_event, begin_session, remember
from tests.support.browser import Viewer
from tests.support.http import PATIENCE_S, Server, Tenant

#: Keeps what streams tell, as it comes; what the page hears of it has been heard a moment later.
_LISTEN = """
window.heard = "";
const read = ReadableStreamDefaultReader.prototype.read;
ReadableStreamDefaultReader.prototype.read = async function () {
  const found = await read.call(this);
  if (typeof found.value === "string") setTimeout(() => { window.heard += found.value; });
  return found;
};
"""


class Held:
    """Requests that are held up until they are let go.

    Parameters:
        answered: the server answers at once, and its answer is what is held up.
    """

    def __init__(self, page: Page, pattern: str, *, answered: bool = True) -> None:
        self._page = page
        self._answered = answered
        self._holding = True
        self._held: list[tuple[Route, APIResponse | None]] = []
        page.route(pattern, self._hold)

    def _hold(self, route: Route) -> None:
        if self._holding:
            self._held.append((route, route.fetch() if self._answered else None))
        else:
            route.continue_()

    def wait(self) -> None:
        """Wait until there is one."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._held:
            assert time.monotonic() < deadline, "nothing is asked for"
            self._page.wait_for_timeout(20)

    def let_go(self) -> None:
        self._holding = False
        for route, answer in self._held:
            if answer is None:
                route.continue_()
            else:
                route.fulfill(response=answer)


@pytest.fixture
def listening(viewer: Viewer) -> Viewer:
    viewer.page.add_init_script(_LISTEN)
    return viewer


def hear(viewer: Viewer, words: str) -> None:
    viewer.page.wait_for_function("(words) => window.heard.includes(words)", arg=words)


def come_in(viewer: Viewer, key: str) -> None:
    """Sign in, and wait for the stream alone."""
    viewer.open()
    viewer.page.get_by_label("API key").fill(key)
    viewer.page.get_by_role("button", name="Sign in").click()
    viewer.wait_live()


def test_a_memory_that_comes_while_the_list_is_fetched_is_shown(
    listening: Viewer, server: Server, tenant: Tenant
) -> None:
    changed = remember(server, tenant, "As it was")
    held = Held(listening.page, "**/v1/memories?**")
    come_in(listening, tenant.full)
    held.wait()
    remember(server, tenant, "Came meanwhile")
    server.ok("PATCH", f"/v1/memories/{changed}", tenant.full, {"content": "As it is"})
    hear(listening, "As it is")
    held.let_go()
    expect(listening.card("Came meanwhile")).to_be_visible()
    expect(listening.card("As it is")).to_be_visible()


def test_a_memory_that_comes_before_the_stream_is_shown(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    """The list was read before it, and the stream was opened after it, while the list was on its way."""
    lists = Held(viewer.page, "**/v1/memories?**")
    streams = Held(viewer.page, "**/v1/stream**", answered=False)
    viewer.open()
    viewer.page.get_by_label("API key").fill(tenant.full)
    viewer.page.get_by_role("button", name="Sign in").click()
    lists.wait()
    streams.wait()
    remember(server, tenant, "Came in between")
    streams.let_go()
    viewer.wait_live()
    lists.let_go()
    expect(viewer.card("Came in between")).to_be_visible()


def test_jobs_that_change_while_the_list_is_fetched_are_shown_as_they_are(
    listening: Viewer, server: Server, tenant: Tenant
) -> None:
    _, job = add_event(server, tenant, payload={"n": 1})
    listening.sign_in(tenant.full)
    held = Held(listening.page, "**/v1/jobs?**")
    listening.page.get_by_role("link", name="Jobs").click()
    held.wait()
    server.ok("POST", f"/v1/jobs/{job}/cancel", tenant.full)
    _, other = add_event(server, tenant, payload={"n": 2})
    hear(listening, other)
    held.let_go()
    expect(listening.page.locator(f"[data-id='{job}']")).to_contain_text("Cancelled")
    expect(listening.page.locator(f"[data-id='{other}']")).to_contain_text("Queued")


def test_what_a_session_learns_while_it_is_fetched_is_shown(
    listening: Viewer, server: Server, tenant: Tenant
) -> None:
    session = begin_session(server, tenant, "Mend the build")
    listening.sign_in(tenant.full)
    held = Held(listening.page, f"**/v1/sessions/{session}/timeline**")
    listening.open(f"/#/sessions/{session}")
    held.wait()
    remember(server, tenant, "Learned meanwhile", serverSessionId=session)
    hear(listening, "Learned meanwhile")
    held.let_go()
    expect(listening.card("Learned meanwhile")).to_be_visible()


def test_a_slower_answer_leaves_the_place_to_what_was_chosen_since(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    remember(server, tenant, "Was decided", kind="decision")
    remember(server, tenant, "Was mended", kind="bugfix")
    viewer.sign_in(tenant.full)
    slow = Held(viewer.page, "**/v1/memories?*kind=decision*")
    kind = viewer.page.get_by_label("Kind")
    kind.select_option("decision")
    slow.wait()
    kind.select_option("bugfix")
    expect(viewer.card("Was mended")).to_be_visible()
    with viewer.page.expect_response("**/v1/memories?*kind=decision*"):
        slow.let_go()
    # What is done with an answer is done before the next turn of the page's loop but one.
    viewer.page.evaluate("new Promise((done) => setTimeout(() => setTimeout(done)))")
    expect(viewer.card("Was mended")).to_be_visible()
    expect(viewer.card("Was decided")).to_have_count(0)
