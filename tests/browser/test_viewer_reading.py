"""Reading in peace: nothing moves what is read, addresses lead back, text shows as it is meant, and limits are told."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.viewer_content import add_event, begin_session, fail, remember
from tests.support.browser import Viewer, viewing
from tests.support.http import Server, Tenant

BOTTOM = "scrollTo(0, document.documentElement.scrollHeight)"


def scroll_down(page: Page) -> None:
    page.evaluate(BOTTOM)
    page.wait_for_function("scrollY > 50")


def test_what_is_new_waits_while_somebody_reads_further_down(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    for number in range(20):
        remember(server, tenant, f"Known {number}")
    viewer.sign_in(tenant.full)
    page, cards = viewer.page, viewer.page.get_by_role("article")
    expect(cards).to_have_count(20)
    scroll_down(page)
    last = viewer.at_rest()
    new = [remember(server, tenant, f"New {number}") for number in range(3)]
    offer = page.get_by_role("button", name="3 new memories")
    expect(offer).to_be_visible()
    expect(cards).to_have_count(20)
    # A pixel may be lost to rounding.
    assert viewer.at_rest() == pytest.approx(last, abs=1)
    assert viewer.accessibility() == []
    server.ok("DELETE", f"/v1/memories/{new[0]}", tenant.full)
    server.ok("PATCH", f"/v1/memories/{new[1]}", tenant.full, {"content": "Corrected meanwhile"})
    page.get_by_role("button", name="2 new memories").click()
    expect(cards).to_have_count(22)
    expect(cards.first).to_contain_text("New 2")
    expect(viewer.card("Corrected meanwhile")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    assert page.evaluate("scrollY") == 0
    expect(page.get_by_role("button", name="new memor")).to_have_count(0)


def test_what_is_opened_stays_where_it_is(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    remember(server, tenant, "Being read")
    viewer.sign_in(tenant.full)
    viewer.card("Being read").get_by_text("What led to this").click()
    expect(viewer.card("Being read")).to_contain_text("No job made this")
    before = viewer.at_rest()
    remember(server, tenant, "Just in")
    expect(viewer.page.get_by_role("button", name="1 new memory")).to_be_visible()
    assert viewer.at_rest() == pytest.approx(before, abs=1)
    expect(viewer.page.get_by_role("article")).to_have_count(1)


def test_new_jobs_wait_too(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    for number in range(20):
        add_event(server, tenant, payload={"n": number})
    viewer.sign_in(tenant.full).go("Jobs")
    expect(viewer.page.get_by_role("article")).to_have_count(20)
    scroll_down(viewer.page)
    _, job = add_event(server, tenant, payload={"n": "new"})
    viewer.page.get_by_role("button", name="1 new job").click()
    expect(viewer.page.get_by_role("article").first).to_have_attribute("data-id", job)


def test_addresses_open_what_they_name_and_the_way_back_works(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    session = begin_session(server, tenant, "Mend the `queue`")
    _, job = add_event(server, tenant, session)
    fail(server, job, "the provider answered 529")
    memory = remember(server, tenant, "Queues need limits", kind="decision")
    page = viewer.page
    viewer.sign_in(tenant.full, f"/#/jobs/{job}")
    expect(viewer.card("the provider answered 529")).to_contain_text(job)
    expect(page).to_have_title("Event, failed · claude-mem")
    page.get_by_role("link", name="Its session").click()
    expect(page).to_have_title("Mend the `queue` · claude-mem")
    page.go_back()
    expect(page).to_have_title("Event, failed · claude-mem")
    page.get_by_role("link", name="All jobs").click()
    expect(page).to_have_title("Jobs · claude-mem")
    page.get_by_role("group", name="State").get_by_role("button", name="Failed").click()
    expect(page).to_have_url(re.compile(r"#/jobs\?state=failed$"))
    page.get_by_role("article").get_by_role("link").click()
    expect(page).to_have_title("Event, failed · claude-mem")
    page.go_back()
    expect(page.get_by_role("group", name="State").get_by_role("button", name="Failed")).to_have_attribute(
        "aria-pressed", "true"
    )
    expect(page.get_by_role("article")).to_have_count(1)
    viewer.open("/#/timeline?kind=decision")
    expect(page.get_by_label("Kind")).to_have_value("decision")
    viewer.card("Queues need limits").locator("time").click()
    expect(page).to_have_url(re.compile(f"#/memories/{memory}$"))
    expect(page).to_have_title("Queues need limits · claude-mem")
    viewer.open("/#/search?q=limits")
    expect(page).to_have_title("limits · Search · claude-mem")
    for broken in ("/#/jobs/%E0%A4%A", "/#/constructor/x", "/#/toString"):
        viewer.open(broken)
        page.reload()
        expect(page.get_by_role("heading", level=1)).to_have_text("Timeline")


def test_a_job_page_follows_the_job_and_steers_it(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    event, job = add_event(server, tenant, payload={"tool_name": "Deploy"})
    viewer.sign_in(tenant.full, f"/#/jobs/{job}")
    card = viewer.page.locator(f"main article[data-id='{job}']")
    expect(card).to_contain_text("Queued")
    card.get_by_text("The event").click()
    expect(card.locator("pre")).to_contain_text('"tool_name": "Deploy"')
    card.get_by_role("button", name="Cancel").click()
    viewer.dialog().get_by_role("button", name="Cancel the job").click()
    expect(card).to_contain_text("Cancelled")
    expect(viewer.page.get_by_role("heading", level=1)).to_be_focused()
    expect(card.locator("pre")).to_be_visible()
    expect(viewer.page.get_by_role("listitem").filter(has_text="Cancelled")).to_be_visible()
    server.ok("POST", f"/v1/jobs/{job}/retry", tenant.full, {})
    expect(card).to_contain_text("Queued")
    viewer.open(f"/#/jobs/{event}")
    expect(viewer.page.get_by_role("alert")).to_contain_text("Generation job not found")


def test_prompts_stand_in_the_story_where_they_were_given(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    session = begin_session(server, tenant, "Mend the build")
    whole = "Mend the build, " + "and say what you did, " * 40 + "in the end."
    for payload in (
        {"prompt": whole},
        {"tool_name": "Bash", "tool_input": {"command": "make"}},
        {"prompt": "Now the docs"},
    ):
        kind = "user_prompt" if "prompt" in payload else "tool_use"
        add_event(server, tenant, session, eventType=kind, payload=payload)
    remember(server, tenant, "The build was mended", serverSessionId=session)
    viewer.sign_in(tenant.full, f"/#/sessions/{session}")
    steps = viewer.page.locator(".story > li")
    expect(steps).to_have_count(4)
    for position, text in enumerate(("Mend the build", "make", "Now the docs", "The build was mended")):
        expect(steps.nth(position)).to_contain_text(text)
    expect(viewer.page.locator("main")).not_to_contain_text("in the end.")
    steps.first.get_by_text("The whole prompt").click()
    expect(steps.first).to_contain_text("in the end.")


def test_code_times_and_files_can_be_read(browser: Browser, server: Server) -> None:
    tenant = server.tenant()
    files = [f"src/{number}/module.py" for number in range(11)]
    metadata = {
        "facts": ["`make test` runs <b>all</b>", *(f"fact {number}" for number in range(9))],
        "narrative": "Run this:\n```sh\nmake test\nmake lint\n```\nand `look`.",
        "files_read": files,
    }
    remember(server, tenant, "How to test", title="Use `make`", metadata=metadata)
    with viewing(browser, server, timezone_id="Asia/Tokyo") as viewer:
        viewer.sign_in(tenant.full)
        card = viewer.card("How to test").or_(viewer.card("Use make"))
        expect(card.locator("code")).to_have_text(["make", "make test\nmake lint", "look", "make test"])
        expect(card).to_contain_text("runs <b>all</b>")
        expect(card.get_by_text("fact 8")).to_be_hidden()
        card.get_by_text("2 more facts").click()
        expect(card.get_by_text("fact 8")).to_be_visible()
        card.get_by_text("3 more files").click()
        expect(card.get_by_text("src/10/module.py")).to_be_visible()
        stamp = card.locator("time")
        shown, title = stamp.inner_text(), stamp.get_attribute("title") or ""
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", title)
        assert int(shown[:2]) == (int(title[11:13]) + 9) % 24, "Tokyo is nine hours ahead"


def test_a_limit_of_requests_is_told_with_how_long_to_wait(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    environ = {"CLAUDE_MEM_GENERATION_DISABLED": "true", "CLAUDE_MEM_RATE_LIMIT_PER_MIN": "1"}
    with (
        Server(tmp_path_factory.mktemp("limited"), environ=environ) as server,
        viewing(browser, server) as viewer,
    ):
        viewer.open()
        viewer.page.get_by_label("API key").fill(server.tenant().full)
        viewer.page.keyboard.press("Enter")
        # The second request or, where a minute ends just then, the third is refused; wherever that is, it is told.
        told = re.compile(r"Too many requests: wait \d+ s, then try again\.")
        expect(viewer.page.get_by_role("alert").filter(has_text=told).first).to_be_visible()
