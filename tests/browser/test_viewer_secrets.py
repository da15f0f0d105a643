"""A new key is shown to who asked for it, until they have it, and to nobody who comes after them in the same tab."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.viewer_content import remember
from tests.browser.viewer_timing import Held, let_answers_be_used
from tests.support.browser import Viewer
from tests.support.http import Server, Tenant


@pytest.fixture
def own(server: Server, tenant: Tenant) -> str:
    """A key whose first characters are its own, by which the viewer finds it among the team's."""
    wanted = {"name": "laptop", "scopes": ["memories:read", "memories:write"]}
    made: str = server.ok("POST", "/v1/keys", tenant.full, wanted, status=201)["apiKey"]
    return made


def make_a_key(viewer: Viewer) -> Held:
    """Ask for a key, whose answer is held up, and leave the question."""
    page = viewer.page
    slow = Held(page, "**/v1/keys")
    page.get_by_role("button", name="New key").click()
    viewer.dialog().get_by_role("button", name="Make the key").click()
    slow.wait()
    page.keyboard.press("Escape")
    expect(viewer.dialog()).to_have_count(0)
    return slow


def come_next(viewer: Viewer, key: str) -> None:
    """Sign in without loading the page again, which would end what is under way."""
    viewer.page.get_by_label("API key").fill(key)
    viewer.page.get_by_role("button", name="Sign in").click()
    viewer.wait_live()


def has_left(page: Page) -> None:
    """The page behind a dialog cannot be used, so its title tells."""
    expect(page).to_have_title("Sign in · claude-mem")


def test_the_key_that_takes_the_place_of_ones_own_outlives_its_end(
    viewer: Viewer, server: Server, own: str
) -> None:
    viewer.sign_in(own).go("Keys")
    page = viewer.page
    page.get_by_role("button", name="Rotate laptop").click()
    viewer.dialog().get_by_role("button", name="Replace it").click()
    secret = viewer.dialog().locator(".secret")
    newer = secret.inner_text()
    has_left(page)
    expect(secret).to_have_text(newer)
    assert server.call("GET", "/v1/projects", newer).status_code == 200
    viewer.dialog().get_by_role("button", name="Done").click()
    expect(viewer.dialog()).to_have_count(0)
    viewer.sign_in(newer)


def test_the_key_that_takes_the_place_of_ones_own_may_come_after_its_end(viewer: Viewer, own: str) -> None:
    viewer.sign_in(own).go("Keys")
    page = viewer.page
    slow = Held(page, "**/rotate")
    page.get_by_role("button", name="Rotate laptop").click()
    viewer.dialog().get_by_role("button", name="Replace it").click()
    slow.wait()
    has_left(page)
    slow.let_go()
    expect(viewer.dialog().locator(".secret")).to_have_text(re.compile("^cm_"))


def test_a_key_that_comes_while_somebody_types_stays_until_they_are_done(
    viewer: Viewer, tenant: Tenant
) -> None:
    viewer.sign_in(tenant.full).go("Keys")
    page = viewer.page
    slow = make_a_key(viewer)
    viewer.go("Search")
    words = page.get_by_label("Search words")
    words.fill("why")
    expect(words).to_be_focused()
    slow.let_go()
    expect(viewer.dialog().get_by_role("heading")).to_be_focused()
    for key in (" ", "Enter", "Escape", "Escape", "Escape"):
        page.keyboard.press(key)
    # What a key press did has been done when the page has answered.
    let_answers_be_used(page)
    expect(viewer.dialog().locator(".secret")).to_be_visible()
    expect(viewer.dialog().get_by_role("status")).to_have_text("")
    viewer.dialog().get_by_role("button", name="Done").click()
    expect(viewer.dialog()).to_have_count(0)
    expect(words).to_be_focused()


def test_what_opens_over_a_question_has_a_name_of_its_own(viewer: Viewer, tenant: Tenant) -> None:
    viewer.sign_in(tenant.full).go("Keys")
    slow = make_a_key(viewer)
    viewer.page.get_by_role("button", name="New key").click()
    slow.let_go()
    shown = viewer.page.get_by_role("dialog", name="The new key", exact=True)
    expect(shown.locator(".secret")).to_be_visible()
    expect(viewer.page.locator("dialog")).to_have_count(2)
    shown.get_by_role("button", name="Done").click()
    expect(viewer.page.get_by_role("dialog", name="New key", exact=True)).to_be_visible()


def test_a_key_that_comes_after_its_owner_signed_out_is_shown_to_nobody(
    viewer: Viewer, tenant: Tenant
) -> None:
    viewer.sign_in(tenant.full).go("Keys")
    page = viewer.page
    for another in (False, True):
        slow = make_a_key(viewer)
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("API key")).to_be_visible()
        if another:
            come_next(viewer, tenant.admin)
        with page.expect_response(lambda found: found.request.method == "POST"):
            slow.let_go()
        let_answers_be_used(page)
        expect(viewer.dialog()).to_have_count(0)
        if not another:
            viewer.sign_in(tenant.full).go("Keys")


def test_a_refusal_of_the_key_of_somebody_who_left_signs_nobody_out(viewer: Viewer, tenant: Tenant) -> None:
    viewer.sign_in(tenant.admin).go("Keys")
    page = viewer.page
    slow = Held(page, "**/v1/keys", answered=False)
    page.get_by_role("button", name="New key").click()
    viewer.dialog().get_by_role("button", name="Make the key").click()
    slow.wait()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Sign out").click()
    come_next(viewer, tenant.full)
    with page.expect_response(lambda found: found.request.method == "POST"):
        slow.refuse(401)
    let_answers_be_used(page)
    viewer.go("Jobs")


def test_that_nothing_was_found_is_told_as_what_is_found_is(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    remember(server, tenant, "The budget of one")
    viewer.sign_in(tenant.full, f"/#/search?q=budget&project={tenant.project}")
    said = viewer.page.get_by_role("status")
    expect(said.filter(has_text="1 memory found")).to_have_count(1)
    viewer.page.get_by_label("Search words").fill("zanzibar")
    viewer.page.keyboard.press("Enter")
    expect(said.filter(has_text="Nothing was found")).to_have_count(1)
    expect(said.filter(has_text="found")).to_have_count(1)


def test_more_of_a_list_is_offered_at_a_distance_from_its_last_entry(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    for number in range(51):
        remember(server, tenant, f"Memory {number}")
    viewer.sign_in(tenant.full)
    offered = viewer.page.get_by_role("button", name="Show more")
    offered.scroll_into_view_if_needed()
    viewer.at_rest()
    last = viewer.page.get_by_role("article").last.element_handle()
    gap = offered.evaluate(
        "(button, card) => button.getBoundingClientRect().top - card.getBoundingClientRect().bottom", last
    )
    assert gap >= 8


def test_who_left_a_question_is_told_that_it_failed(viewer: Viewer, tenant: Tenant) -> None:
    viewer.sign_in(tenant.full).go("Keys")
    slow = make_a_key(viewer)
    slow.refuse()
    told = viewer.page.get_by_role("dialog", name="That did not work")
    expect(told).to_contain_text("New key")
    expect(told.get_by_role("alert")).to_contain_text("database does not answer")
    told.get_by_role("button", name="Done").click()
    expect(viewer.page.get_by_role("button", name="New key")).to_be_focused()


def test_a_budget_that_is_set_late_leaves_the_focus_where_somebody_went(
    viewer: Viewer, tenant: Tenant
) -> None:
    viewer.sign_in(tenant.admin).go("Usage")
    page = viewer.page
    slow = Held(page, "**/v1/budgets")
    page.get_by_role("button", name="Set a budget").click()
    viewer.dialog().get_by_label("Tokens").fill("4000")
    viewer.dialog().get_by_role("button", name="Set the budget").click()
    slow.wait()
    page.keyboard.press("Escape")
    elsewhere = page.get_by_label("Project", exact=True)
    elsewhere.focus()
    slow.let_go()
    expect(viewer.card("0 of 4,000 tokens")).to_be_visible()
    let_answers_be_used(page)
    expect(elsewhere).to_be_focused()
