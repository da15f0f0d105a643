"""Budgets are set, changed and removed in the viewer by who may, and told of to everybody else."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.viewer_content import spend
from tests.support.browser import Viewer
from tests.support.http import Server, Tenant


def budgets(server: Server, tenant: Tenant) -> dict[tuple[str | None, str], Any]:
    found = server.ok("GET", "/v1/usage/budget", tenant.full)["budgets"]
    return {(one["projectId"], one["period"]): one for one in found if not one["isDefault"]}


@pytest.mark.usefixtures("within_a_day")
def test_a_budget_is_set_changed_and_removed(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    spend(server, tenant, 5_000)
    viewer.sign_in(tenant.admin).go("Usage")
    viewer.page.get_by_role("button", name="Set a budget").click()
    dialog = viewer.dialog()
    dialog.get_by_label("For", exact=True).select_option(label="team-project")
    dialog.get_by_label("For each").select_option("month")
    dialog.get_by_label("Tokens").fill("4000")
    dialog.get_by_label("US dollars").fill("2.5")
    dialog.get_by_label("Warn at").fill("90")
    dialog.get_by_role("button", name="Set the budget").click()
    card = viewer.card("team-project, a month")
    expect(card).to_contain_text("Used up")
    expect(card).to_contain_text("5,000 of 4,000 tokens (125 %); warns at 90 %.")
    expect(viewer.page.get_by_role("status").filter(has_text="The budget is set.")).to_have_count(1)
    expect(viewer.page.get_by_role("button", name="Set a budget")).to_be_focused()
    made = budgets(server, tenant)[tenant.project, "month"]
    assert (made["tokens"], made["usd"], made["warnPercent"]) == (4_000, 2.5, 90)

    viewer.page.get_by_role("button", name="Change team-project, a month").click()
    expect(dialog.get_by_label("Tokens")).to_have_value("4000")
    expect(dialog.get_by_role("status")).to_contain_text("generation waits until")
    dialog.get_by_label("Tokens").fill("50000")
    dialog.get_by_label("US dollars").fill("")
    expect(dialog.get_by_role("status")).to_have_text("Of it, 5,000 tokens are used so far.")
    dialog.get_by_role("button", name="Set the budget").click()
    expect(card).to_contain_text("5,000 of 50,000 tokens (10 %)")
    # The button that was pressed is gone.
    expect(viewer.page.get_by_role("heading", name="Budgets")).to_be_focused()
    made = budgets(server, tenant)[tenant.project, "month"]
    assert (made["tokens"], made["usd"]) == (50_000, None)

    viewer.page.get_by_role("button", name="Remove team-project, a month").click()
    dialog.get_by_role("button", name="Cancel").click()
    expect(card).to_be_visible()
    viewer.page.get_by_role("button", name="Remove team-project, a month").click()
    dialog.get_by_role("button", name="Remove it").click()
    expect(card).to_have_count(0)
    assert budgets(server, tenant) == {}


def test_the_default_can_be_lifted_and_comes_back(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    viewer.sign_in(tenant.admin).go("Usage")
    card = viewer.card("The team, a day")
    expect(card).to_contain_text("Default")
    expect(card.get_by_role("button")).to_have_text(["Change"])
    card.get_by_role("button", name="Change").click()
    viewer.dialog().get_by_label("Tokens").fill("")
    expect(viewer.dialog().get_by_role("status")).to_contain_text("default does not apply")
    viewer.dialog().get_by_role("button", name="Set the budget").click()
    expect(card).to_contain_text("No limit.")
    card.get_by_role("button", name="Remove").click()
    viewer.dialog().get_by_role("button", name="Remove it").click()
    expect(card).to_contain_text("Default")


def test_what_the_server_refuses_is_said_in_its_words(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    viewer.sign_in(tenant.admin).go("Usage")
    viewer.page.get_by_role("button", name="Set a budget").click()
    viewer.dialog().get_by_role("button", name="Set the budget").click()
    expect(viewer.dialog().get_by_role("alert")).to_have_text("name at least one of tokens and usd")
    viewer.page.keyboard.press("Escape")
    server.ok("PUT", "/v1/budgets", tenant.admin, {"period": "month", "tokens": 10})
    viewer.page.reload()
    remove = viewer.page.get_by_role("button", name="Remove The team, a month")
    remove.click()
    server.ok("DELETE", "/v1/budgets?period=month", tenant.admin)
    viewer.dialog().get_by_role("button", name="Remove it").click()
    expect(viewer.dialog().get_by_role("alert")).to_have_text("Budget not found")
    viewer.page.keyboard.press("Escape")
    expect(remove).to_be_focused()


def test_who_may_not_change_budgets_is_told_who_may(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    made = server.ok(
        "POST",
        "/v1/keys",
        tenant.full,
        {"name": "writer", "scopes": ["memories:read", "memories:write"]},
        status=201,
    )
    viewer.sign_in(made["apiKey"]).go("Usage")
    expect(viewer.card("The team, a day")).to_be_visible()
    expect(viewer.page.get_by_text("A key of the whole team with an administrator")).to_be_visible()
    expect(viewer.page.locator("main").get_by_role("button")).to_have_count(0)
