"""What led to a memory, in one panel: its events, its job, what was paid for it, and the summary that was told of it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from claude_mem.storage import usage
from tests.browser.viewer_content import add_event, begin_session, remember
from tests.support.browser import Viewer, viewing
from tests.support.http import Server, Tenant, eventually


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that makes memories of events, by rule."""
    with Server(tmp_path_factory.mktemp("working"), generate=True) as found:
        yield found


def work(server: Server, tenant: Tenant) -> tuple[str, str, str]:
    """A session of which something was made. Returns: its id, that of the job of its event, and that of the memory."""
    session = begin_session(server, tenant, "Find out why the build is red")
    command = {"tool_name": "Bash", "tool_input": {"command": "make test"}, "tool_response": {"stdout": "ok"}}
    event, job = add_event(server, tenant, session, payload=command)
    ended = server.ok("POST", f"/v1/sessions/{session}/end", tenant.full, {})["generationJob"]["id"]

    def done() -> bool:
        states = [
            server.ok("GET", f"/v1/jobs/{one}", tenant.full)["generationJob"]["status"]
            for one in (job, ended)
        ]
        return states == ["completed"] * 2

    eventually(done, what="the event and the session to be worked on")
    (made,) = server.ok("GET", f"/v1/events/{event}/observations", tenant.full)["observations"]
    return session, job, made["id"]


def pay(server: Server, tenant: Tenant, memory: str) -> None:
    """Note a call that a memory came of, as a worker does that asks a provider."""
    metadata = {
        "provider": "claude",
        "model": "claude-sonnet-5",
        "inputTokens": 1_200,
        "outputTokens": 300,
        "jobs": 3,
    }
    row = usage.UsageRow(tenant.team, tenant.project, "tokens", 1_500, time.time_ns() // 1000, metadata)
    server.run(usage.append(server.services.database, [row]))
    server.execute(
        f"UPDATE observation_sources SET metadata = '{{\"callId\": \"{row.id}\"}}' WHERE observation_id = '{memory}'"
    )


def test_a_memory_shows_what_led_to_it_by_keyboard_alone(browser: Browser, working: Server) -> None:
    tenant = working.tenant()
    session, job, memory = work(working, tenant)
    pay(working, tenant, memory)
    with viewing(browser, working) as viewer:
        viewer.sign_in(tenant.full, f"/#/memories/{memory}")
        viewer.settled()
        assert not [url for url in viewer.asked if url.endswith("/origin")], (
            "nothing is asked before it is opened"
        )
        viewer.page.get_by_text("What led to this").focus()
        viewer.page.keyboard.press("Enter")
        panel = viewer.page.locator("main article")
        made_from = panel.get_by_role("group", name="Made from")
        expect(made_from).to_contain_text("Bash")
        expect(made_from).to_contain_text("make test")
        made_from.get_by_text("Details").focus()
        viewer.page.keyboard.press("Enter")
        expect(made_from.locator("pre")).to_contain_text('"tool_name": "Bash"')
        asked = panel.get_by_role("group", name="Provider asked")
        expect(asked).to_contain_text("claude, claude-sonnet-5")
        expect(asked).to_contain_text("1,200 tokens in, 300 out")
        expect(asked).to_contain_text(re.compile(r"US\$0\.0\d+"))
        expect(asked).to_contain_text("one call for 3 jobs")
        made_by = panel.get_by_role("group", name="Made by")
        made_by.get_by_text("History").focus()
        viewer.page.keyboard.press("Enter")
        expect(made_by.locator("li.line").filter(has_text="Processing")).to_be_visible()
        assert viewer.accessibility() == []
        panel.get_by_role("group", name="Told in").get_by_role("link").focus()
        viewer.page.keyboard.press("Enter")
        summary = viewer.page.locator("main article.summary")
        expect(summary).to_contain_text("Find out why the build is red")
        summary.get_by_text("What led to this").click()
        expect(summary.get_by_role("link", name="All that happened in the session")).to_have_attribute(
            "href", f"#/sessions/{session}"
        )
        viewer.page.go_back()
        # What was open is open.
        viewer.page.get_by_role("group", name="Made by").get_by_role("link", name="Event").click()
        expect(viewer.page).to_have_url(re.compile(f"#/jobs/{job}$"))
        expect(viewer.card("Completed").first).to_be_visible()
        expect(viewer.page.locator(f"main article[data-id='{memory}']")).to_be_visible()


def test_what_somebody_wrote_says_so(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    remember(server, tenant, "Written by hand")
    viewer.sign_in(tenant.full)
    viewer.card("Written by hand").get_by_text("What led to this").click()
    expect(viewer.card("Written by hand")).to_contain_text("No job made this")


def test_an_origin_that_cannot_be_fetched_is_asked_for_again(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    remember(server, tenant, "Behind a proxy")
    viewer.sign_in(tenant.full)
    card = viewer.card("Behind a proxy")
    viewer.page.route("**/origin", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    card.get_by_text("What led to this").click()
    expect(card.get_by_role("alert")).to_contain_text("The server answered 502.")
    viewer.page.unroute("**/origin")
    card.get_by_role("button", name="Try again").click()
    expect(card).to_contain_text("No job made this")


def test_a_forgotten_memory_behind_an_address_is_told(viewer: Viewer, tenant: Tenant) -> None:
    viewer.sign_in(tenant.full, "/#/memories/none")
    expect(viewer.page.get_by_role("alert")).to_contain_text("Memory not found")
