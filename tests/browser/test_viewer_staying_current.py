"""What is shown stays what is there: of what ends elsewhere, came before the stream, or is told a second time."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.viewer_content import add_event, begin_session, fail, remember
from tests.browser.viewer_timing import Held, come_in_unheard
from tests.support.browser import Viewer
from tests.support.http import Server, Tenant


def test_a_state_whose_last_job_leaves_it_says_that_it_has_none(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    _, job = add_event(server, tenant)
    fail(server, job, "the provider answered 529")
    viewer.sign_in(tenant.full, "/#/jobs?state=failed")
    page = viewer.page
    page.get_by_role("article").get_by_role("button", name="Try again").click()
    viewer.dialog().get_by_role("button", name="Try again").click()
    expect(page.get_by_text("There is no failed job.")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_be_focused()


def test_a_memory_that_is_forgotten_is_not_in_its_session_any_more(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    session = begin_session(server, tenant, "Mend the build")
    remember(server, tenant, "Learned of it", serverSessionId=session)
    viewer.sign_in(tenant.full, f"/#/sessions/{session}")
    page = viewer.page
    viewer.card("Learned of it").locator("a.plainly").click()
    expect(page).to_have_title("Learned of it · claude-mem")
    page.get_by_role("button", name="Forget").click()
    viewer.dialog().get_by_role("button", name="Forget it").click()
    expect(page.get_by_role("heading", name="Forgotten")).to_be_visible()
    page.go_back()
    expect(page).to_have_title("Mend the build · claude-mem")
    expect(page.get_by_text("Nothing happened yet")).to_be_visible()
    expect(viewer.card("Learned of it")).to_have_count(0)


def test_what_was_learned_of_a_forgotten_summary_is_not_what_its_session_is_called(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    session = begin_session(server, tenant, "thanks")
    asked = {"request": "Find why the queue is long"}
    summary = remember(server, tenant, "It is", kind="summary", serverSessionId=session, metadata=asked)
    remember(server, tenant, "Learned of it", serverSessionId=session)
    viewer.sign_in(tenant.full, f"/#/sessions/{session}")
    expect(viewer.page).to_have_title("Find why the queue is long · claude-mem")
    server.ok("DELETE", f"/v1/memories/{summary}", tenant.full)
    expect(viewer.page).to_have_title("thanks · claude-mem")
    expect(viewer.page.get_by_role("article")).to_have_count(1)


def test_a_memory_that_is_deleted_elsewhere_did_not_come_of_its_job_any_more(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    event, job = add_event(server, tenant)
    server.execute(
        f"UPDATE observation_generation_jobs SET status = 'completed', completed_at = updated_at WHERE id = '{job}'"
    )
    memory = remember(server, tenant, "Came of it")
    made = server.ok("GET", f"/v1/memories/{memory}", tenant.full)["memory"]
    page = viewer.page
    page.route(
        f"**/v1/events/{event}/observations", lambda route: route.fulfill(json={"observations": [made]})
    )
    viewer.sign_in(tenant.full, f"/#/jobs/{job}")
    expect(viewer.card("Came of it")).to_be_visible()
    server.ok("DELETE", f"/v1/memories/{memory}", tenant.full)
    expect(page.get_by_role("heading", name="What came of it")).to_have_count(0)
    expect(viewer.card("Came of it")).to_have_count(0)


def test_what_a_session_learned_before_the_stream_is_shown(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    session = begin_session(server, tenant, "Mend the build")
    page = viewer.page
    streams = come_in_unheard(viewer, tenant.full, f"/#/sessions/{session}")
    expect(page.get_by_text("Nothing happened yet")).to_be_visible()
    streams.wait()
    kept = remember(server, tenant, "Learned in between", serverSessionId=session)
    streams.let_go()
    expect(viewer.card("Learned in between")).to_be_visible()
    server.ok("DELETE", f"/v1/memories/{kept}", tenant.full)
    expect(page.get_by_text("Nothing happened yet")).to_be_visible()


def test_a_session_is_read_anew_after_a_gap(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    session = begin_session(server, tenant, "Mend the build")
    memories = [remember(server, tenant, f"Learned {n}", serverSessionId=session) for n in range(2)]
    cards = viewer.page.get_by_role("article")
    streams = come_in_unheard(viewer, tenant.full, f"/#/sessions/{session}")
    expect(cards).to_have_count(2)
    server.ok("DELETE", f"/v1/memories/{memories[0]}", tenant.full)
    streams.wait()
    streams.tell("reset", {})
    expect(cards).to_have_count(1)
    expect(viewer.card("Learned 1")).to_be_visible()


def test_a_job_that_changed_before_the_stream_is_shown_as_it_is(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    _, job = add_event(server, tenant)
    page = viewer.page
    first = Held(page, f"**/v1/jobs/{job}", most=1)
    streams = come_in_unheard(viewer, tenant.full, f"/#/jobs/{job}")
    first.wait()
    streams.wait()
    first.refuse()
    expect(page.get_by_role("alert")).to_contain_text("database does not answer")
    streams.tell("open", {})
    card = page.locator(f"main article[data-id='{job}']")
    expect(card).to_contain_text("Queued")
    server.ok("POST", f"/v1/jobs/{job}/cancel", tenant.full)
    streams.wait()
    streams.tell("open", {})
    expect(card).to_contain_text("Cancelled")


def test_what_is_read_of_a_job_stays_open_when_the_job_changes(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    event, job = add_event(server, tenant)
    done = "UPDATE observation_generation_jobs SET status = 'completed', completed_at = updated_at"
    server.execute(f"{done} WHERE id = '{job}'")
    memory = remember(server, tenant, "Came of it")
    made = server.ok("GET", f"/v1/memories/{memory}", tenant.full)["memory"]
    page = viewer.page
    page.route(
        f"**/v1/events/{event}/observations", lambda route: route.fulfill(json={"observations": [made]})
    )
    streams = come_in_unheard(viewer, tenant.full, f"/#/jobs/{job}")
    summary = viewer.card("Came of it").locator("summary")
    summary.click()
    expect(viewer.card("Came of it")).to_contain_text("No job made this")
    server.execute(f"UPDATE observation_generation_jobs SET attempts = 3 WHERE id = '{job}'")
    streams.wait()
    streams.tell("open", {})
    expect(page.locator(f"main article[data-id='{job}']")).to_contain_text("3 attempts")
    expect(viewer.card("Came of it")).to_contain_text("No job made this")
    expect(summary).to_be_focused()


@pytest.mark.parametrize("view", ["jobs", "sessions"])
def test_nothing_stays_of_what_a_purge_took(
    viewer: Viewer, server: Server, tenant: Tenant, view: str
) -> None:
    session = begin_session(server, tenant, "Mend the build")
    _, job = add_event(server, tenant, session)
    one = {"jobs": job, "sessions": session}[view]
    viewer.sign_in(tenant.full, f"/#/{view}/{one}")
    expect(viewer.page.locator("main .line")).not_to_have_count(0)
    server.ok("DELETE", f"/v1/projects/{tenant.project}/memory", tenant.full)
    expect(viewer.page.get_by_role("alert")).to_be_visible()
    expect(viewer.page.locator("main .line")).to_have_count(0)
