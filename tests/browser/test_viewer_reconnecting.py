"""What a view shows when its stream opens late or comes back: what it missed, and nothing that it did not."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.viewer_content import add_event, begin_session, remember
from tests.browser.viewer_timing import Held, come_in_unheard
from tests.support.browser import Viewer
from tests.support.http import Server, Tenant

#: Entries of a page of most lists.
PAGE = 50


def test_what_is_read_in_the_timeline_stays_open_when_its_memory_is_told_again(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    """A stream that is taken up again tells the last seconds twice."""
    memory = remember(server, tenant, "Is read")
    found = server.ok("GET", f"/v1/memories/{memory}", tenant.full)["memory"]
    streams = come_in_unheard(viewer, tenant.full)
    summary = viewer.card("Is read").locator("summary")
    summary.click()
    expect(viewer.card("Is read")).to_contain_text("No job made this")
    streams.wait()
    streams.tell("observation", {"change": "created", "id": memory, "observation": found})
    streams.wait()
    other = {**found, "id": "another", "content": "Comes later"}
    streams.tell("observation", {"change": "created", "id": "another", "observation": other})
    # It waits, because somebody reads.
    expect(viewer.page.get_by_role("button", name="1 new memory")).to_be_visible()
    expect(viewer.card("Is read")).to_contain_text("No job made this")
    expect(summary).to_be_focused()


def test_an_old_memory_is_not_told_as_new_when_the_stream_is_back(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    ids = [remember(server, tenant, f"Memory {number:02}") for number in range(PAGE + 1)]
    streams = come_in_unheard(viewer, tenant.full)
    page, cards = viewer.page, viewer.page.get_by_role("article")
    expect(cards).to_have_count(PAGE)
    for memory in ids[-2:]:
        server.ok("DELETE", f"/v1/memories/{memory}", tenant.full)
    server.ok("PATCH", f"/v1/memories/{ids[-3]}", tenant.full, {"content": "As it is"})
    remember(server, tenant, "Just in")
    streams.wait()
    streams.tell("open", {})
    expect(viewer.card("Just in")).to_be_visible()
    expect(viewer.card("As it is")).to_be_visible()
    expect(viewer.card("Memory 00")).to_have_count(0)
    page.get_by_role("button", name="Show more").click()
    expect(viewer.card("Memory 00")).to_be_visible()


def test_a_memory_that_changed_before_the_stream_is_shown_as_it_is(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    memory = remember(server, tenant, "As it was")
    streams = come_in_unheard(viewer, tenant.full, f"/#/memories/{memory}")
    expect(viewer.card("As it was")).to_be_visible()
    server.ok("PATCH", f"/v1/memories/{memory}", tenant.full, {"content": "As it is"})
    streams.wait()
    streams.tell("open", {})
    expect(viewer.card("As it is")).to_be_visible()
    expect(viewer.page).to_have_title("As it is · claude-mem")
    server.ok("DELETE", f"/v1/memories/{memory}", tenant.full)
    streams.wait()
    streams.tell("open", {})
    expect(viewer.page.get_by_role("heading", name="Forgotten")).to_be_visible()


@pytest.mark.parametrize("state", ["", "queued"])
def test_jobs_that_changed_before_the_stream_are_shown_as_they_are(
    viewer: Viewer, server: Server, tenant: Tenant, state: str
) -> None:
    jobs = [add_event(server, tenant, payload={"n": number})[1] for number in range(2)]
    streams = come_in_unheard(viewer, tenant.full, f"/#/jobs?state={state}")
    rows = viewer.page.get_by_role("article")
    expect(rows).to_have_count(2)
    server.ok("POST", f"/v1/jobs/{jobs[0]}/cancel", tenant.full)
    _, new = add_event(server, tenant, payload={"n": 2})
    streams.wait()
    streams.tell("open", {})
    if state:
        expect(rows).to_contain_text(["Queued", "Queued"])
        expect(viewer.page.locator(f"[data-id='{jobs[0]}']")).to_have_count(0)
    else:
        expect(rows).to_contain_text(["Queued", "Queued", "Cancelled"])
    expect(rows.first).to_have_attribute("data-id", new)


def test_a_job_of_a_page_that_is_not_shown_is_not_new(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    jobs = [add_event(server, tenant, payload={"n": number})[1] for number in range(PAGE + 1)]
    viewer.sign_in(tenant.full).go("Jobs")
    page, rows = viewer.page, viewer.page.get_by_role("article")
    expect(rows).to_have_count(PAGE)
    for job in (jobs[0], jobs[-1]):
        server.ok("POST", f"/v1/jobs/{job}/cancel", tenant.full)
    # News come in the order in which they happened.
    expect(page.locator(f"[data-id='{jobs[-1]}']")).to_contain_text("Cancelled")
    expect(page.locator(f"[data-id='{jobs[0]}']")).to_have_count(0)
    page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(PAGE + 1)
    expect(rows.last).to_have_attribute("data-id", jobs[0])


def test_sessions_that_could_not_be_fetched_are_there_when_the_stream_is(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    begin_session(server, tenant, "Mend the build")
    lists = Held(viewer.page, "**/v1/sessions?**", most=1)
    streams = come_in_unheard(viewer, tenant.full, "/#/sessions")
    lists.wait()
    lists.refuse()
    expect(viewer.page.get_by_role("alert")).to_contain_text("database does not answer")
    streams.wait()
    streams.tell("open", {})
    expect(viewer.card("Mend the build")).to_be_visible()
