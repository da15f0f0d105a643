"""What waits in the queue: how much, since when, for what, and that nobody works on it."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, expect

from claude_mem.model.times import now_us
from claude_mem.storage import worker_figures
from tests.browser.viewer_content import add_event, begin_session, hold
from tests.support.browser import Viewer
from tests.support.http import Server, Tenant

#: How a moment is shown to who looks closer.
UTC = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$")

#: Milliseconds after which the view looks by itself.
LOOKS_AGAIN_MS = 10_000


def lane(viewer: Viewer, name: str) -> Locator:
    return viewer.page.get_by_role("region", name="Queue").get_by_role("listitem").filter(has_text=name)


def test_the_queue_says_how_much_waits_since_when_and_why(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    jobs = [add_event(server, tenant, payload={"n": number})[1] for number in range(4)]
    for job, reason in zip(jobs, ("budget_exhausted", "transient"), strict=False):
        hold(server, job, reason, for_s=3_600)
    viewer.page.clock.install()
    viewer.sign_in(tenant.full).go("Jobs")
    events, summaries = lane(viewer, "Events"), lane(viewer, "Summaries")
    expect(events).to_contain_text("4 waiting")
    expect(events).to_contain_text("2 can be taken now; the oldest has waited since")
    expect(events.locator("p time")).to_have_attribute("title", UTC)
    expect(events).to_contain_text("1 waits for a budget, until")
    expect(events).to_contain_text("1 waits after the provider failed; next attempt at")
    expect(summaries).to_contain_text("Nothing waits")

    # What changes shows by itself.
    for job in jobs:
        server.ok("POST", f"/v1/jobs/{job}/cancel", tenant.full)
    expect(events).to_contain_text("Nothing waits")
    # There is no news of a summary that is queued.
    session = begin_session(server, tenant, "To be summed up")
    server.ok("POST", f"/v1/sessions/{session}/end", tenant.full, {})
    viewer.page.clock.fast_forward(LOOKS_AGAIN_MS)
    expect(summaries).to_contain_text("1 waiting")
    viewer.page.get_by_label("Project").select_option(tenant.sibling)
    expect(summaries).to_contain_text("Nothing waits")


def test_a_queue_that_nobody_works_on_says_so(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    stuck = viewer.page.get_by_text("No worker runs")
    viewer.page.clock.install()
    viewer.sign_in(tenant.full).go("Jobs")
    expect(lane(viewer, "Events")).to_contain_text("Nothing waits")
    expect(stuck).to_have_count(0)
    add_event(server, tenant)
    expect(stuck).to_be_visible()
    report = worker_figures.report(server.services.database, "w", figures="[]", now_us=now_us())
    server.run(report)
    try:
        viewer.page.clock.fast_forward(LOOKS_AGAIN_MS)
        expect(stuck).to_have_count(0)
    finally:
        server.run(worker_figures.forget(server.services.database, "w", before_us=0))
