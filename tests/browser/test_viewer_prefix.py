"""The viewer and the API's page under a prefix that a proxy takes off: every address in them is relative."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.viewer_content import fill, remember
from tests.support.browser import VIEWS, viewing
from tests.support.http import Server, Tenant
from tests.support.prefix_proxy import PrefixProxy


@pytest.mark.parametrize("page", ["/", "/viewer", "/viewer/"])
def test_the_viewer_works_under_a_prefix(browser: Browser, server: Server, tenant: Tenant, page: str) -> None:
    session = fill(server, tenant)
    with (
        PrefixProxy(server.url, "/team/memory") as proxy,
        viewing(browser, server, url=proxy.url) as viewer,
    ):
        viewer.sign_in(tenant.full, page)
        remember(server, tenant, "Came through the proxy")
        expect(viewer.card("Came through the proxy")).to_be_visible()
        for view in VIEWS if page == "/" else ():
            viewer.go(view)
            expect(viewer.page.get_by_role("alert")).to_have_count(0)
        viewer.open(f"/#/sessions/{session}")
        expect(viewer.card("The cache is emptied on Sundays")).to_be_visible()
        viewer.card("The cache is emptied on Sundays").get_by_role("button", name="Forget").click()
        viewer.dialog().get_by_role("button", name="Forget it").click()
        expect(viewer.card("The cache is emptied on Sundays")).to_have_count(0)
        assert proxy.missed == []
        assert all(url.startswith(proxy.url) for url in viewer.asked), viewer.asked


@pytest.mark.parametrize("page", ["/docs", "/docs/"])
def test_the_api_page_works_under_a_prefix(browser: Browser, server: Server, page: str) -> None:
    with (
        PrefixProxy(server.url, "/team/memory") as proxy,
        viewing(browser, server, url=proxy.url) as viewer,
    ):
        viewer.open(page)
        expect(viewer.page.get_by_role("heading", level=1)).to_contain_text("claude-mem API")
        document = viewer.page.get_by_role("link", name="OpenAPI document")
        with viewer.page.expect_response("**/openapi.json") as found:
            document.click()
        assert found.value.status == 200
        assert found.value.url == f"{proxy.url}/openapi.json"
        # What is asked of a page that is about to be left may get no answer.
        viewer.page.wait_for_url(found.value.url)
        assert set(proxy.missed) <= {"/favicon.ico"}, "which browsers ask for by themselves"
