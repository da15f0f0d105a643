"""What happens while a view is being fetched: it is in the answer or told by the stream, and either way it is shown."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.viewer_content import add_event, begin_session, remember
from tests.browser.viewer_timing import Held, come_in, hear, let_answers_be_used
from tests.support.browser import Viewer
from tests.support.http import Server, Tenant


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
    let_answers_be_used(viewer.page)
    expect(viewer.card("Was mended")).to_be_visible()
    expect(viewer.card("Was decided")).to_have_count(0)
