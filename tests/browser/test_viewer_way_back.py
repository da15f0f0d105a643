"""The way back leads to what was there and to where it was read; and sessions are called by what they were about."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.viewer_content import add_event, begin_session, remember
from tests.support.browser import Viewer
from tests.support.http import Server, Tenant


def top(page: Page, text: str) -> float:
    """Where a card stands in the window, in pixels from its top."""
    box = page.get_by_role("article").filter(has_text=text).bounding_box()
    assert box is not None
    return box["y"]


def test_the_way_back_leads_to_where_somebody_read(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    ids = [remember(server, tenant, f"Memory {number:02}.\n" + "More of it.\n" * 5) for number in range(60)]
    viewer.sign_in(tenant.full)
    page, cards = viewer.page, viewer.page.get_by_role("article")
    page.get_by_role("button", name="Show more").click()
    expect(cards).to_have_count(60)
    read = viewer.card("Memory 03.")
    read.scroll_into_view_if_needed()
    viewer.at_rest()
    before = top(page, "Memory 03.")
    link = read.locator("a.plainly")
    link.click()
    expect(page).to_have_title("Memory 03. · claude-mem")
    expect(cards).to_have_count(1)
    assert page.evaluate("scrollY") == 0
    remember(server, tenant, "Came meanwhile")
    server.ok("DELETE", f"/v1/memories/{ids[-1]}", tenant.full)
    viewer.wait_live()

    page.go_back()
    expect(page).to_have_title("Timeline · claude-mem")
    expect(page.get_by_role("button", name="1 new memory")).to_be_visible()
    expect(cards).to_have_count(59)
    viewer.at_rest()
    assert top(page, "Memory 03.") == pytest.approx(before, abs=2)
    expect(link).to_be_focused()
    page.go_forward()
    expect(page).to_have_title("Memory 03. · claude-mem")
    page.locator("main").get_by_role("link", name="Timeline").click()
    expect(cards).to_have_count(59)
    # What is above gets its height as it comes into the window.
    page.wait_for_function("scrollY > 1000")


def test_a_view_that_is_chosen_anew_begins_at_its_top(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    for number in range(30):
        begin_session(server, tenant, f"Session {number}")
    viewer.sign_in(tenant.full).go("Sessions")
    page = viewer.page
    page.get_by_role("link", name="Session 2", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Session")
    begin_session(server, tenant, "The latest")
    viewer.go("Sessions")
    assert page.evaluate("scrollY") == 0
    expect(page.get_by_role("link", name="The latest")).to_be_visible()
    page.get_by_label("Project").select_option(tenant.sibling)
    expect(page.get_by_text("No sessions yet")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Session")
    page.go_back()
    # What was kept was all projects'.
    expect(page.get_by_text("No sessions yet")).to_be_visible()


def test_sessions_are_called_by_what_they_were_about(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    told = begin_session(server, tenant, "yes, go on")
    prompts = ("Mend the build on Mondays", "yes, go on")
    for prompt in prompts:
        add_event(server, tenant, told, eventType="user_prompt", payload={"prompt": prompt})
    summed = begin_session(server, tenant, "thanks")
    remember(
        server,
        tenant,
        "A summary",
        kind="summary",
        serverSessionId=summed,
        metadata={"request": "Find why the queue is long"},
    )
    page = viewer.page
    viewer.sign_in(tenant.full).go("Sessions")
    row = viewer.card("Find why the queue is long")
    expect(row).to_contain_text("Told last: thanks")
    expect(viewer.card("yes, go on")).not_to_contain_text("Told last")
    row.get_by_role("link").click()
    expect(page).to_have_title("Find why the queue is long · claude-mem")
    viewer.open(f"/#/sessions/{told}")
    expect(page).to_have_title("Mend the build on Mondays · claude-mem")
