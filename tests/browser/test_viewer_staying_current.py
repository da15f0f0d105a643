"""What is shown stays what is there: of what ends elsewhere, came before the stream, or is told a second time."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.viewer_content import add_event, fail
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
