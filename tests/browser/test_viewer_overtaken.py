"""Answers that come too late, fail or are overtaken by news: no list is of two answers, or of a part of one."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from tests.browser.viewer_content import add_event, begin_session, fail, remember
from tests.browser.viewer_timing import Held, hear, let_answers_be_used
from tests.support.browser import Viewer
from tests.support.http import Server, Tenant

#: Entries of a page of most lists, and of a session's story.
PAGE = 50
STORY_PAGE = 100


def more(page: Page) -> Locator:
    return page.get_by_role("button", name="Show more")


def states(page: Page) -> Locator:
    return page.get_by_role("group", name="State")


def test_an_older_list_of_jobs_leaves_the_place_to_the_state_that_was_chosen_since(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    _, failed = add_event(server, tenant, payload={"n": 1})
    fail(server, failed, "the provider answered 529")
    _, queued = add_event(server, tenant, payload={"n": 2})
    viewer.sign_in(tenant.full).go("Jobs")
    page = viewer.page
    slow = Held(page, "**/v1/jobs?*status=failed*")
    states(page).get_by_role("button", name="Failed").click()
    slow.wait()
    states(page).get_by_role("button", name="Queued").click()
    expect(page.locator(f"[data-id='{queued}']")).to_be_visible()
    with page.expect_response("**/v1/jobs?*status=failed*"):
        slow.let_go()
    let_answers_be_used(page)
    expect(page.get_by_role("article")).to_have_count(1)
    expect(page.locator(f"[data-id='{queued}']")).to_be_visible()


def test_a_page_more_of_what_was_left_is_not_added_to_what_was_chosen_since(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    for number in range(PAGE + 1):
        remember(server, tenant, f"Decided {number}", kind="decision")
    remember(server, tenant, "Was mended", kind="bugfix")
    viewer.sign_in(tenant.full)
    page, cards = viewer.page, viewer.page.get_by_role("article")
    expect(cards).to_have_count(PAGE)
    slow = Held(page, "**/v1/memories?*cursor=*", most=1)
    more(page).click()
    slow.wait()
    page.get_by_label("Kind").select_option("decision")
    expect(viewer.card("Was mended")).to_have_count(0)
    expect(cards).to_have_count(PAGE)
    expect(more(page)).to_be_enabled()
    with page.expect_response("**/v1/memories?*cursor=*"):
        slow.let_go()
    let_answers_be_used(page)
    expect(cards).to_have_count(PAGE)
    more(page).click()
    expect(viewer.card("Decided 0")).to_have_count(1)
    expect(cards).to_have_count(PAGE + 1)
    expect(more(page)).to_have_count(0)


def test_a_page_more_keeps_the_focus_and_says_when_it_fails(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    for number in range(2 * PAGE + 1):
        remember(server, tenant, f"Memory {number}")
    viewer.sign_in(tenant.full)
    page, cards = viewer.page, viewer.page.get_by_role("article")
    slow = Held(page, "**/v1/memories?*cursor=*", answered=False, most=1)
    more(page).focus()
    page.keyboard.press("Enter")
    slow.wait()
    # The browser takes the focus from what is disabled when it draws it.
    expect(page.get_by_role("button", name="Loading…")).not_to_be_focused()
    slow.refuse()
    expect(page.get_by_role("alert")).to_contain_text("database does not answer")
    expect(more(page)).to_be_focused()
    page.keyboard.press("Enter")
    expect(cards).to_have_count(2 * PAGE)
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(more(page)).to_be_focused()
    page.keyboard.press("Enter")
    expect(cards).to_have_count(2 * PAGE + 1)
    expect(page.locator(".more")).to_be_focused()


def test_what_is_deleted_while_a_page_more_is_fetched_is_not_shown(
    listening: Viewer, server: Server, tenant: Tenant
) -> None:
    ids = [remember(server, tenant, f"Memory {number:02}") for number in range(PAGE + 2)]
    listening.sign_in(tenant.full)
    held = Held(listening.page, "**/v1/memories?*cursor=*")
    more(listening.page).click()
    held.wait()
    server.ok("DELETE", f"/v1/memories/{ids[0]}", tenant.full)
    server.ok("PATCH", f"/v1/memories/{ids[1]}", tenant.full, {"content": "As it is"})
    hear(listening, "As it is")
    held.let_go()
    expect(listening.card("As it is")).to_be_visible()
    expect(listening.page.get_by_role("article")).to_have_count(PAGE + 1)
    expect(listening.card("Memory 00")).to_have_count(0)


def test_what_a_session_learns_while_its_last_page_is_fetched_is_shown(
    listening: Viewer, server: Server, tenant: Tenant
) -> None:
    session = begin_session(server, tenant, "Mend the build")
    for number in range(STORY_PAGE + 1):
        add_event(server, tenant, session, payload={"n": number})
    listening.sign_in(tenant.full, f"/#/sessions/{session}")
    held = Held(listening.page, f"**/v1/sessions/{session}/timeline?*cursor=*", most=1)
    more(listening.page).click()
    held.wait()
    remember(server, tenant, "Learned meanwhile", serverSessionId=session)
    hear(listening, "Learned meanwhile")
    held.let_go()
    expect(listening.card("Learned meanwhile")).to_be_visible()
    expect(listening.page.locator(".story > li")).to_have_count(STORY_PAGE + 2)


def test_news_do_not_pass_for_a_list_that_could_not_be_fetched(
    listening: Viewer, server: Server, tenant: Tenant
) -> None:
    remember(server, tenant, "Was there", kind="decision")
    listening.sign_in(tenant.full)
    page, cards = listening.page, listening.page.get_by_role("article")
    held = Held(page, "**/v1/memories?*kind=decision*")
    page.get_by_label("Kind").select_option("decision")
    held.wait()
    remember(server, tenant, "Came meanwhile", kind="decision")
    hear(listening, "Came meanwhile")
    held.refuse()
    told = page.get_by_role("alert")
    expect(told).to_contain_text("database does not answer")
    remember(server, tenant, "Came after it", kind="decision")
    hear(listening, "Came after it")
    let_answers_be_used(page)
    expect(told).to_be_visible()
    expect(cards).to_have_count(0)
    told.get_by_role("button", name="Try again").click()
    expect(cards).to_contain_text(["Came after it", "Came meanwhile", "Was there"])
    # The button that had the focus is gone.
    expect(page.get_by_role("heading", level=1)).to_be_focused()


def test_what_could_not_be_fetched_is_there_when_the_stream_is(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    for number in range(PAGE + 1):
        remember(server, tenant, f"Memory {number}")
    page = viewer.page
    lists = Held(page, "**/v1/memories?**")
    streams = Held(page, "**/v1/stream**", answered=False)
    viewer.open()
    page.get_by_label("API key").fill(tenant.full)
    page.get_by_role("button", name="Sign in").click()
    lists.wait()
    streams.wait()
    lists.refuse()
    expect(page.get_by_role("alert")).to_contain_text("database does not answer")
    streams.let_go()
    expect(page.get_by_role("article")).to_have_count(PAGE)
    more(page).click()
    expect(page.get_by_role("article")).to_have_count(PAGE + 1)


def test_what_is_kept_back_is_told_once(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    """The first stream tells of a memory and ends; the next finds that something came while nobody listened."""
    for number in range(20):
        remember(server, tenant, f"Known {number}")
    page = viewer.page
    streams = Held(page, "**/v1/stream**", answered=False)
    viewer.open()
    page.get_by_label("API key").fill(tenant.full)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("article")).to_have_count(20)
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    page.wait_for_function("scrollY > 50")
    new = remember(server, tenant, "Just in")
    found = server.ok("GET", f"/v1/memories/{new}", tenant.full)["memory"]
    streams.wait()
    streams.tell("observation", {"change": "created", "id": new, "observation": found})
    expect(page.get_by_role("button", name="1 new memory")).to_be_visible()
    said = page.get_by_role("status").filter(has_text="New: Just in")
    expect(said).to_have_count(1)
    said.evaluate("(said) => { said.textContent = '' }")
    streams.wait()
    with page.expect_response("**/v1/memories?**"):
        streams.let_go()
    let_answers_be_used(page)
    expect(page.get_by_role("button", name="1 new memory")).to_be_visible()
    expect(said).to_have_count(0)


def test_no_failed_job_is_left_out_behind_one_that_was_queued_again(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    jobs = [add_event(server, tenant, payload={"n": number})[1] for number in range(PAGE + 2)]
    for job in jobs:
        fail(server, job, "the provider answered 529")
    viewer.sign_in(tenant.full, "/#/jobs?state=failed")
    page, rows = viewer.page, viewer.page.get_by_role("article")
    expect(rows).to_have_count(PAGE)
    newest = page.locator(f"[data-id='{jobs[-1]}']")
    newest.get_by_role("button", name="Try again").click()
    viewer.dialog().get_by_role("button", name="Try again").click()
    expect(newest).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    more(page).click()
    expect(page.locator(f"[data-id='{jobs[0]}']")).to_be_visible()
    ids = rows.evaluate_all("rows => rows.map((row) => row.dataset.id)")
    assert ids == jobs[-2::-1]


def test_a_job_that_was_steered_keeps_the_focus(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    _, job = add_event(server, tenant)
    viewer.sign_in(tenant.full).go("Jobs")
    row = viewer.page.locator(f"[data-id='{job}']")
    row.get_by_role("button", name="Cancel").click()
    viewer.dialog().get_by_role("button", name="Cancel the job").click()
    expect(row.get_by_role("button", name="Try again")).to_be_focused()


def test_older_counts_of_jobs_leave_the_place_to_newer_ones(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    _, job = add_event(server, tenant)
    viewer.sign_in(tenant.full)
    page = viewer.page
    slow = Held(page, "**/v1/jobs/counts*", most=1)
    viewer.go("Jobs")
    slow.wait()
    server.ok("POST", f"/v1/jobs/{job}/cancel", tenant.full)
    cancelled = states(page).get_by_role("button", name="Cancelled")
    expect(cancelled).to_have_text("Cancelled1")
    with page.expect_response("**/v1/jobs/counts*"):
        slow.let_go()
    let_answers_be_used(page)
    expect(cancelled).to_have_text("Cancelled1")


def test_what_would_be_queued_again_is_of_what_was_chosen_last(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    _, job = add_event(server, tenant)
    fail(server, job, "the provider answered 529")
    viewer.sign_in(tenant.full).go("Jobs")
    page, said = viewer.page, viewer.dialog().get_by_role("status")
    slow = Held(page, "**/v1/jobs/redrive", most=1)
    page.get_by_role("button", name="Queue failed jobs again").click()
    slow.wait()
    viewer.dialog().get_by_label("What they were for").select_option("summary")
    expect(said).to_have_text("0 failed jobs would be queued again.")
    with page.expect_response("**/v1/jobs/redrive"):
        slow.let_go()
    let_answers_be_used(page)
    expect(said).to_have_text("0 failed jobs would be queued again.")
    page.route("**/v1/jobs/redrive", lambda route: route.abort())
    viewer.dialog().get_by_label("What they were for").select_option("event")
    expect(said).to_contain_text("cannot be reached")


def test_an_older_look_at_a_job_does_not_take_the_place_of_a_newer_one(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    _, job = add_event(server, tenant)
    viewer.sign_in(tenant.full, f"/#/jobs/{job}")
    page = viewer.page
    slow = Held(page, f"**/v1/jobs/{job}", most=1)
    server.ok("POST", f"/v1/jobs/{job}/cancel", tenant.full)
    slow.wait()
    server.ok("POST", f"/v1/jobs/{job}/retry", tenant.full, {})
    expect(page.get_by_role("listitem").filter(has_text="Cancelled")).to_be_visible()
    card = page.locator(f"main article[data-id='{job}']")
    expect(card).to_contain_text("Queued")
    with page.expect_response(f"**/v1/jobs/{job}/events"):
        slow.let_go()
    let_answers_be_used(page)
    expect(card).to_contain_text("Queued")
    expect(page).to_have_title("Event, queued · claude-mem")


def test_a_memory_that_is_forgotten_stays_forgotten(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    memory = remember(server, tenant, "As it was")
    viewer.sign_in(tenant.full, f"/#/memories/{memory}")
    page = viewer.page
    slow = Held(page, f"**/v1/memories/{memory}", most=1)
    server.ok("PATCH", f"/v1/memories/{memory}", tenant.full, {"content": "As it is"})
    slow.wait()
    server.ok("DELETE", f"/v1/memories/{memory}", tenant.full)
    expect(page.get_by_role("heading", name="Forgotten")).to_be_visible()
    with page.expect_response(f"**/v1/memories/{memory}"):
        slow.let_go()
    let_answers_be_used(page)
    expect(page.get_by_role("heading", name="Forgotten")).to_be_visible()
    expect(page.get_by_role("article")).to_have_count(0)
    expect(page).to_have_title("As it was · claude-mem")


def test_keys_are_listed_once_however_fast_they_are_asked_for(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    server.ok("POST", "/v1/keys", tenant.full, {"name": "laptop"}, status=201)
    viewer.sign_in(tenant.full).go("Keys")
    page, cards = viewer.page, viewer.page.get_by_role("article")
    listed = cards.count()
    slow = Held(page, "**/v1/keys?limit=*")
    ended = page.get_by_label("Ended ones too")
    ended.check()
    slow.wait()
    ended.uncheck()
    expect(cards).to_have_count(listed)
    with page.expect_response("**/v1/keys?limit=*"):
        slow.let_go()
    let_answers_be_used(page)
    expect(cards).to_have_count(listed)
    page.get_by_role("button", name="Revoke laptop").click()
    viewer.dialog().get_by_role("button", name="Revoke it").click()
    expect(cards).to_have_count(listed - 1)
    expect(page.get_by_role("heading", level=1)).to_be_focused()


def test_a_key_that_is_made_is_shown_also_to_who_left_the_question_meanwhile(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    viewer.sign_in(tenant.full).go("Keys")
    page = viewer.page
    slow = Held(page, "**/v1/keys")
    page.get_by_role("button", name="New key").click()
    viewer.dialog().get_by_label("Name").fill("laptop")
    viewer.dialog().get_by_role("button", name="Make the key").click()
    slow.wait()
    page.keyboard.press("Escape")
    expect(viewer.dialog()).to_have_count(0)
    slow.let_go()
    raw = viewer.dialog().locator(".secret").inner_text()
    assert server.call("GET", "/v1/projects", raw).status_code == 200
    viewer.dialog().get_by_role("button", name="Done").click()
    expect(viewer.card("laptop")).to_be_visible()


def test_what_is_found_stays_that_of_its_project_and_is_listed_once(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    found = 21
    for number in range(found):
        remember(server, tenant, f"The budget of {number}")
    viewer.sign_in(tenant.full, f"/#/search?q=budget&project={tenant.project}")
    page, cards = viewer.page, viewer.page.get_by_role("article")
    expect(cards).to_have_count(found - 1)
    slow = Held(page, "**/v1/search")
    for asked in (1, 2):
        page.get_by_role("button", name="Search").click()
        slow.wait(asked)
    with page.expect_response("**/v1/search"):
        slow.let_go()
    let_answers_be_used(page)
    expect(cards).to_have_count(found - 1)
    # What is chosen for the next question is not asked of this one's other pages.
    page.get_by_label("Look in").select_option(tenant.sibling)
    more(page).click()
    expect(cards).to_have_count(found)
    expect(page.get_by_role("alert")).to_have_count(0)
