"""Who gets in, what stays of a key, and what happens when it ends or the server does not answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.viewer_content import remember
from tests.support.browser import Viewer, viewing
from tests.support.http import Server, Tenant, database_url
from tests.support.postgres import PostgresServer

STORED = "({ local: {...localStorage}, session: {...sessionStorage}, url: location.href, cookies: document.cookie })"


def test_a_key_opens_the_timeline_and_stays_in_the_tab_alone(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    remember(server, tenant, "Retries are capped")
    viewer.sign_in(tenant.full)
    expect(viewer.card("Retries are capped")).to_be_visible()
    kept = viewer.page.evaluate(STORED)
    assert kept["session"]["claude-mem.key"] == tenant.full
    assert tenant.full not in str({name: kept[name] for name in ("local", "url", "cookies")})
    viewer.page.reload()
    expect(viewer.card("Retries are capped")).to_be_visible()
    viewer.page.get_by_role("button", name="Sign out").click()
    expect(viewer.page.get_by_label("API key")).to_be_focused()
    assert tenant.full not in str(viewer.page.evaluate(STORED))
    viewer.page.reload()
    expect(viewer.page.get_by_label("API key")).to_be_visible()


@pytest.mark.parametrize("kind", ["unknown", "revoked", "expired", "write", "teamless"])
def test_a_key_that_may_not_read_is_refused_and_not_kept(viewer: Viewer, tenant: Tenant, kind: str) -> None:
    key = "cmem_unknown" if kind == "unknown" else str(getattr(tenant, kind))
    viewer.open()
    viewer.page.get_by_label("API key").fill(key)
    viewer.page.keyboard.press("Enter")
    reason = "not bound to a team" if kind == "teamless" else "This key is unknown or has ended"
    expect(viewer.page.get_by_role("alert")).to_contain_text(reason)
    expect(viewer.page.get_by_label("API key")).to_be_focused()
    assert key not in str(viewer.page.evaluate(STORED))


def test_a_key_that_ends_in_the_middle_signs_out(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    viewer.sign_in(tenant.read)
    server.ok("DELETE", f"/v1/keys/{tenant.ids['read']}", tenant.full)
    # The stream may have ended by itself, and its end signs out too: there may be no link any more.
    viewer.page.evaluate("location.hash = '#/jobs'")
    expect(viewer.page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(viewer.page.get_by_role("alert")).to_be_visible()


def test_a_key_of_another_team_shows_nothing_of_this_one(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    remember(server, tenant, "zanzibar")
    viewer.sign_in(server.tenant("other").full)
    for view in ("Timeline", "Sessions", "Jobs", "Usage", "Keys"):
        viewer.go(view)
        expect(viewer.page.locator("main")).not_to_contain_text("zanzibar")
    expect(viewer.page.get_by_label("Project")).not_to_contain_text(tenant.project)


def test_a_key_that_reads_only_is_offered_nothing_else(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    made = server.ok("POST", "/v1/keys", tenant.full, {"name": "eyes"}, status=201)
    remember(server, tenant, "Look, do not touch")
    # Of a random key the first characters are its own, by which the viewer finds it among the team's.
    viewer.sign_in(made["apiKey"])
    expect(viewer.card("Look, do not touch")).to_be_visible()
    expect(viewer.page.get_by_role("button", name="Forget")).to_have_count(0)
    viewer.go("Keys")
    expect(viewer.card("eyes")).to_contain_text("This key")
    for name in ("New key", "Rotate", "Revoke"):
        expect(viewer.page.get_by_role("button", name=name)).to_have_count(0)


def test_local_development_needs_no_key(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> None:
    with (
        Server(tmp_path_factory.mktemp("local"), local=True) as server,
        viewing(browser, server) as viewer,
    ):
        viewer.open()
        expect(viewer.page.get_by_role("heading", level=1)).to_have_text("Timeline")
        expect(viewer.page.get_by_text("Nothing is remembered yet")).to_be_visible()
        expect(viewer.page.get_by_role("button", name="Sign out")).to_have_count(0)


@pytest.fixture(scope="module")
def fragile() -> Iterator[PostgresServer]:
    """A PostgreSQL that may be killed."""
    with PostgresServer() as postgres:
        yield postgres


def test_a_database_that_goes_away_and_comes_back(
    browser: Browser, fragile: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    environ = {"CLAUDE_MEM_GENERATION_DISABLED": "true"}
    directory = tmp_path_factory.mktemp("outage")
    with (
        Server(directory, database_url=fragile.create_database(), environ=environ) as server,
        viewing(browser, server) as viewer,
    ):
        tenant = server.tenant()
        remember(server, tenant, "Written before")
        viewer.sign_in(tenant.full)
        expect(viewer.card("Written before")).to_be_visible()
        fragile.crash()
        try:
            viewer.page.get_by_role("link", name="Sessions").click()
            expect(viewer.page.get_by_role("alert")).to_contain_text("database does not answer")
        finally:
            fragile.start()
        viewer.page.get_by_role("link", name="Timeline").click()
        # Whoever asks too early asks again.
        viewer.insist_on(viewer.card("Written before"))


def test_a_server_that_is_gone_is_told(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> None:
    with viewing(browser, Server(tmp_path_factory.mktemp("gone"))) as viewer:
        with viewer.server as server:
            viewer.sign_in(server.tenant().full)
        expect(viewer.page.locator(".live")).to_have_text("Reconnecting")
        viewer.page.get_by_role("link", name="Sessions").click()
        expect(viewer.page.get_by_role("alert")).to_contain_text("cannot be reached")


def test_the_viewer_works_on_postgres(
    browser: Browser, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    url = database_url(request, "postgres")
    environ = {"CLAUDE_MEM_GENERATION_DISABLED": "true"}
    with (
        Server(tmp_path_factory.mktemp("postgres"), database_url=url, environ=environ) as server,
        viewing(browser, server) as viewer,
    ):
        tenant = server.tenant()
        viewer.sign_in(tenant.full)
        remember(server, tenant, "Autovacuum falls behind")
        expect(viewer.card("Autovacuum falls behind")).to_be_visible()
        viewer.go("Search")
        viewer.page.get_by_label("Search words").fill("autovacuum")
        viewer.page.keyboard.press("Enter")
        expect(viewer.page.locator("mark")).to_have_text("Autovacuum")
        for view in ("Sessions", "Jobs", "Usage", "Keys"):
            viewer.go(view)
