"""What the views show and do, on the real server."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.viewer_content import add_event, begin_session, fail, fill, remember, spend
from tests.support.browser import Viewer, viewing
from tests.support.http import Server, Tenant

#: What hostile text might try, wherever it may come from.
HOSTILE = (
    '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'
    "<svg onload=window.pwned=1>${window.pwned=1} javascript:window.pwned=1"
)


def test_new_changed_and_deleted_memories_show_by_themselves(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    viewer.sign_in(tenant.full)
    expect(viewer.page.get_by_text("Nothing is remembered yet")).to_be_visible()
    first = remember(server, tenant, "The first thing")
    expect(viewer.card("The first thing")).to_be_visible()
    expect(viewer.page.get_by_role("status").filter(has_text="New: The first thing")).to_have_count(1)
    remember(server, tenant, "The second thing")
    cards = viewer.page.get_by_role("article")
    expect(cards).to_have_count(2)
    expect(cards.first).to_contain_text("The second thing")
    server.ok("PATCH", f"/v1/memories/{first}", tenant.full, {"content": "Corrected"})
    expect(viewer.card("Corrected")).to_be_visible()
    expect(cards.first).to_contain_text("The second thing")
    server.ok("DELETE", f"/v1/memories/{first}", tenant.full)
    expect(cards).to_have_count(1)


def test_what_happened_while_the_stream_was_cut_is_fetched(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    viewer.sign_in(tenant.full)
    viewer.page.context.set_offline(True)
    # Chromium keeps open connections when it goes offline; the next stream is refused.
    viewer.page.get_by_label("Project").select_option(label="team-project")
    expect(viewer.page.locator(".live")).to_have_text("Reconnecting")
    remember(server, tenant, "Said in the meantime")
    viewer.page.context.set_offline(False)
    viewer.wait_live()
    viewer.insist_on(viewer.card("Said in the meantime"))


def test_another_project_is_left_out_and_kinds_are_told_apart(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    remember(server, tenant, "Ours")
    remember(server, tenant, "Theirs", projectId=tenant.sibling, kind="decision")
    viewer.sign_in(tenant.full)
    expect(viewer.page.get_by_role("article")).to_have_count(2)
    viewer.page.get_by_label("Kind").select_option("decision")
    expect(viewer.page.get_by_role("article")).to_have_count(1)
    expect(viewer.card("Theirs")).to_be_visible()
    viewer.page.get_by_label("Project").select_option(tenant.project)
    expect(viewer.page.get_by_text("None of this kind")).to_be_visible()
    viewer.page.get_by_label("Kind").select_option("")
    expect(viewer.page.get_by_role("article")).to_have_count(1)
    expect(viewer.card("Ours")).to_be_visible()
    viewer.wait_live()
    remember(server, tenant, "Still theirs", projectId=tenant.sibling)
    remember(server, tenant, "Still ours")
    expect(viewer.card("Still ours")).to_be_visible()
    expect(viewer.card("Still theirs")).to_have_count(0)


def test_a_long_past_comes_in_pages_and_long_texts_are_cut(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    for number in range(120):
        remember(server, tenant, f"Memory {number}")
    remember(server, tenant, "Heading\n" + "a-word-without-end" * 2000, title="Heading")
    viewer.sign_in(tenant.full)
    cards = viewer.page.get_by_role("article")
    expect(cards).to_have_count(50)
    assert viewer.overflow() <= 0
    more = viewer.page.get_by_role("button", name="Show more")
    more.click()
    expect(cards).to_have_count(100)
    more.click()
    expect(cards).to_have_count(121)
    expect(more).to_have_count(0)
    expect(cards.last).to_contain_text("Memory 0")
    long = viewer.card("Heading")
    short_height = long.bounding_box()
    long.get_by_role("button", name="Show all").click()
    tall_height = long.bounding_box()
    assert short_height is not None
    assert tall_height is not None
    assert tall_height["height"] > 2 * short_height["height"]
    assert viewer.overflow() <= 0


def test_a_memory_is_forgotten_after_a_question(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    memory = remember(server, tenant, "Better forgotten")
    viewer.sign_in(tenant.full)
    forget = viewer.card("Better forgotten").get_by_role("button", name="Forget")
    forget.click()
    viewer.dialog().get_by_role("button", name="Cancel").click()
    expect(forget).to_be_focused()
    forget.click()
    viewer.dialog().get_by_role("button", name="Forget it").click()
    expect(viewer.page.get_by_text("Nothing is remembered yet")).to_be_visible()
    assert server.call("GET", f"/v1/memories/{memory}", tenant.full).status_code == 404


def test_a_search_marks_what_matched_and_explains_itself(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    remember(server, tenant, "The retry budget is two seconds")
    remember(server, tenant, "Budgets are reviewed in May")
    remember(server, tenant, "Nothing to see")
    viewer.sign_in(tenant.full).go("Search")
    expect(viewer.page.get_by_label("Search words")).to_be_focused()
    viewer.page.keyboard.type("retry budget")
    viewer.page.keyboard.press("Enter")
    cards = viewer.page.get_by_role("article")
    expect(cards).to_have_count(2)
    expect(cards.first.locator("mark")).to_have_text(["retry", "budget"])
    cards.first.get_by_text("Why it is number 1").click()
    expect(cards.first.get_by_role("row")).to_have_count(3)
    viewer.page.go_back()
    viewer.page.go_forward()
    expect(cards).to_have_count(2)
    viewer.page.get_by_label("Search words").fill('retry -"retry budget"')
    viewer.page.get_by_role("button", name="Search").click()
    expect(viewer.page.get_by_role("heading", name="Nothing was found")).to_be_visible()


def test_a_session_tells_its_story(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    session = fill(server, tenant)
    viewer.sign_in(tenant.full).go("Sessions")
    viewer.page.get_by_role("link", name="Find out why the build is red").click()
    steps = viewer.page.locator(".story > li")
    expect(steps).to_have_count(2)
    expect(steps.first).to_contain_text("make test")
    expect(steps.last).to_contain_text("The cache is emptied on Sundays")
    steps.first.get_by_text("Details").click()
    expect(steps.first.locator("pre")).to_contain_text('"tool_name": "Bash"')
    remember(server, tenant, "Learned just now", serverSessionId=session)
    expect(steps).to_have_count(3)
    viewer.page.get_by_role("link", name="All sessions").click()
    expect(viewer.page.get_by_role("heading", level=1)).to_have_text("Sessions")


def test_an_unknown_session_is_told(viewer: Viewer, tenant: Tenant) -> None:
    viewer.sign_in(tenant.full, "/#/sessions/none")
    expect(viewer.page.get_by_role("alert")).to_contain_text("Session not found")


def test_jobs_are_retried_cancelled_and_queued_again(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    jobs = [add_event(server, tenant, payload={"n": number})[1] for number in range(4)]
    for job in jobs[:3]:
        fail(server, job, "the provider answered 529")
    viewer.sign_in(tenant.full).go("Jobs")
    states = viewer.page.get_by_role("group", name="State")
    expect(states.get_by_role("button", name="Failed")).to_have_text("Failed3")
    states.get_by_role("button", name="Failed").click()
    expect(viewer.page.get_by_role("article")).to_have_count(3)
    failed = viewer.page.locator(f"[data-id='{jobs[0]}']")
    expect(failed).to_contain_text("Transient: the provider answered 529")
    failed.get_by_role("button", name="Try again").click()
    viewer.dialog().get_by_role("button", name="Try again").click()
    expect(failed).to_have_count(0)
    expect(states.get_by_role("button", name="Queued")).to_have_text("Queued2")

    viewer.page.get_by_role("button", name="Queue failed jobs again").click()
    expect(viewer.dialog().get_by_role("status")).to_have_text("2 failed jobs would be queued again.")
    viewer.dialog().get_by_label("What they were for").select_option("summary")
    expect(viewer.dialog().get_by_role("status")).to_have_text("0 failed jobs would be queued again.")
    viewer.dialog().get_by_label("What they were for").select_option("event")
    expect(viewer.dialog().get_by_role("status")).to_have_text("2 failed jobs would be queued again.")
    viewer.dialog().get_by_role("button", name="Queue them again").click()
    expect(viewer.page.get_by_text("There is no failed job.")).to_be_visible()

    states.get_by_role("button", name="All").click()
    viewer.page.locator(f"[data-id='{jobs[3]}']").get_by_role("button", name="Cancel").click()
    viewer.dialog().get_by_role("button", name="Cancel the job").click()
    expect(viewer.page.locator(f"[data-id='{jobs[3]}']")).to_contain_text("Cancelled")
    states_now = [server.ok("GET", f"/v1/jobs/{job}", tenant.full)["generationJob"]["status"] for job in jobs]
    assert states_now == ["queued", "queued", "queued", "cancelled"]


def test_a_job_that_changed_meanwhile_is_told(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    _, job = add_event(server, tenant)
    viewer.sign_in(tenant.full).go("Jobs")
    viewer.page.get_by_role("button", name="Cancel", exact=True).click()
    server.execute(
        f"UPDATE observation_generation_jobs SET status = 'completed', completed_at = updated_at WHERE id = '{job}'"
    )
    viewer.dialog().get_by_role("button", name="Cancel the job").click()
    expect(viewer.dialog().get_by_role("alert")).to_be_visible()
    viewer.page.keyboard.press("Escape")


def test_jobs_appear_and_change_by_themselves(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    viewer.sign_in(tenant.full).go("Jobs")
    expect(viewer.page.get_by_text("No jobs here")).to_be_visible()
    _, job = add_event(server, tenant)
    row = viewer.page.locator(f"[data-id='{job}']")
    expect(row).to_contain_text("Queued")
    server.ok("POST", f"/v1/jobs/{job}/cancel", tenant.full)
    expect(row).to_contain_text("Cancelled")


@pytest.mark.usefixtures("within_a_day")
def test_usage_has_charts_with_their_figures(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    spend(server, tenant, 1_234_567)
    body = {"period": "day", "tokens": 1_000_000}
    server.ok("PUT", "/v1/budgets", tenant.admin, body)
    viewer.sign_in(tenant.full).go("Usage")
    expect(viewer.page.locator("svg.chart .bar")).to_have_count(30)
    viewer.page.get_by_text("The same as a table").click()
    expect(viewer.page.get_by_role("table", name="Tokens a day").get_by_role("row")).to_have_count(2)
    models = viewer.page.get_by_role("table", name="By model")
    expect(models).to_contain_text("claude-sonnet-5")
    expect(models).to_contain_text("1,111,111")
    viewer.page.get_by_label("What to tell apart").select_option("project")
    expect(viewer.page.get_by_role("table", name="By project")).to_contain_text("team-project")
    expect(viewer.card("Team, a day")).to_contain_text("Used up")
    expect(viewer.card("Team, a day")).to_contain_text("1,234,567 of 1,000,000 tokens (123 %)")


def test_keys_are_made_replaced_and_ended(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    viewer.sign_in(tenant.full).go("Keys")
    viewer.page.get_by_role("button", name="New key").click()
    viewer.dialog().get_by_label("Name").fill("laptop")
    viewer.dialog().get_by_label("Write").check()
    viewer.dialog().get_by_role("button", name="Make the key").click()
    raw = viewer.dialog().locator(".secret").inner_text()
    viewer.dialog().get_by_role("button", name="Done").click()
    made = viewer.card("laptop")
    expect(made).to_contain_text("memories:write")
    assert raw not in viewer.page.content()
    assert server.call("GET", "/v1/projects", raw).status_code == 200

    viewer.page.get_by_role("button", name="Rotate laptop").click()
    viewer.dialog().get_by_role("button", name="Replace it").click()
    newer = viewer.dialog().locator(".secret").inner_text()
    viewer.dialog().get_by_role("button", name="Done").click()
    assert newer != raw
    assert server.call("GET", "/v1/projects", raw).status_code == 403

    viewer.page.get_by_role("button", name="Revoke laptop").click()
    viewer.dialog().get_by_role("button", name="Revoke it").click()
    expect(made).to_have_count(0)
    assert server.call("GET", "/v1/projects", newer).status_code == 403
    viewer.page.get_by_label("Ended ones too").check()
    expect(made).to_have_count(2)
    expect(made.first).to_contain_text("Revoked")


def test_a_key_cannot_make_more_than_itself(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    """What the server refuses is said in the dialog, which stays open with what was filled in."""
    viewer.sign_in(tenant.full).go("Keys")
    viewer.page.get_by_role("button", name="Revoke star").click()
    viewer.dialog().get_by_role("button", name="Revoke it").click()
    expect(viewer.dialog().get_by_role("alert")).to_contain_text("cannot touch one with scopes")
    expect(viewer.dialog().get_by_role("button", name="Revoke it")).to_be_focused()
    viewer.page.keyboard.press("Escape")
    expect(viewer.page.get_by_role("button", name="Revoke star")).to_be_focused()


def test_hostile_text_stays_text(browser: Browser, server: Server) -> None:
    tenant = server.tenant(HOSTILE)
    session = begin_session(server, tenant, HOSTILE, agentType=HOSTILE[:100], platformSource=HOSTILE[:60])
    metadata: dict[str, Any] = {
        name: [HOSTILE] for name in ("facts", "concepts", "files_read", "files_modified")
    } | dict.fromkeys(("subtitle", "narrative"), HOSTILE)
    memory = remember(
        server, tenant, HOSTILE, title=HOSTILE, kind=HOSTILE, serverSessionId=session, metadata=metadata
    )
    summary = dict.fromkeys(("request", "learned", "next_steps"), HOSTILE)
    remember(server, tenant, HOSTILE, kind="summary", serverSessionId=session, metadata=summary)
    event = {"eventType": HOSTILE, "payload": {"tool_name": HOSTILE, "tool_input": {HOSTILE: HOSTILE}}}
    _, job = add_event(server, tenant, session, **event)
    fail(server, job, HOSTILE.replace('"', '\\"'))
    spend(server, tenant, 5_000, model=HOSTILE)
    server.ok("POST", "/v1/keys", tenant.full, {"name": HOSTILE[:120]}, status=201)
    with viewing(browser, server) as viewer:
        viewer.sign_in(tenant.full)
        expect(viewer.page.get_by_role("article").first).to_contain_text("<script>window.pwned=1</script>")
        for view in ("Sessions", "Jobs", "Usage", "Keys"):
            viewer.go(view)
            viewer.unfold()
            expect(viewer.page.locator("main")).to_contain_text("onerror")
        for path in (
            f"/#/sessions/{session}",
            f"/#/memories/{memory}",
            f"/#/jobs/{job}",
            "/#/search?q=window+pwned+onerror",
        ):
            viewer.open(path)
            viewer.settled()
            viewer.unfold()
            expect(viewer.page.get_by_role("article").first).to_contain_text("onerror")
        viewer.open("/#/sessions/" + "%3Cimg%20src=x%20onerror=window.pwned=1%3E")
        viewer.open("/#/search?q=" + "%3Cimg%20src=x%20onerror=window.pwned=1%3E")
        viewer.settled()
        assert viewer.page.evaluate("window.pwned") is None
        assert viewer.page.locator("main img, main script, [onerror], [onload]").count() == 0
        assert all(not re.search(r"/x$", url) for url in viewer.asked)


def test_a_stream_is_read_wherever_it_is_cut(viewer: Viewer) -> None:
    comments = "retry: 2000\n\n: still here\n\n"
    events = 'id: 1\r\nevent: open\r\ndata: {}\r\n\r\nid: 2\nevent: job\ndata: {"a": "ä\\n"}\n\n'
    text = comments + events + "id: 3\n"
    read = """async (pieces) => {
      const { EventParser } = await import("/viewer/stream.js");
      const parser = new EventParser();
      return pieces.flatMap((piece) => parser.push(piece));
    }"""
    viewer.open()
    whole = viewer.page.evaluate(read, [text])
    assert whole == [
        {"id": "1", "event": "open", "data": {}},
        {"id": "2", "event": "job", "data": {"a": "ä\n"}},
    ]
    for cut in range(1, len(text)):
        assert viewer.page.evaluate(read, [text[:cut], text[cut:]]) == whole, cut
    assert viewer.page.evaluate(read, list(text)) == whole


@pytest.mark.parametrize(
    ("most", "ceiling"),
    [(1, 1), (1.2, 2), (2.1, 2.5), (4, 5), (7, 10), (1_234_567, 2_000_000), (9_999, 10_000)],
)
def test_a_scale_ends_at_a_round_figure(viewer: Viewer, most: float, ceiling: float) -> None:
    viewer.open()
    chosen = "async (value) => (await import('/viewer/chart.js')).niceCeiling(value)"
    assert viewer.page.evaluate(chosen, most) == pytest.approx(ceiling)
