"""The API's page in a real Chromium: its policy lets nothing run, and it can be read on a phone, in the dark and by ear."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import viewing
from tests.support.http import Server

#: The sections of the page are of a kind: the first few operations and schemas stand for all of them.
ALIKE = (
    "main > section:nth-of-type(n+3):not(:last-of-type)",
    "main > section:last-of-type > article:nth-of-type(n+6)",
)

SIZES = {"dark": (360, 740), "light": (1280, 900)}


@pytest.mark.parametrize("scheme", SIZES)
def test_the_page_is_readable(browser: Browser, server: Server, scheme: Any) -> None:
    width, height = SIZES[scheme]
    with viewing(browser, server, viewport={"width": width, "height": height}, color_scheme=scheme) as tab:
        tab.open("/docs")
        expect(tab.page.get_by_role("heading", level=1)).to_contain_text("claude-mem API")
        tab.picture(f"api-{scheme}", whole=False)
        assert tab.overflow() <= 0
        assert tab.accessibility(leave_out=ALIKE) == []


def test_the_contents_lead_to_the_operations_by_keyboard(browser: Browser, server: Server) -> None:
    with viewing(browser, server) as tab:
        tab.open("/docs")
        tab.page.keyboard.press("Tab")
        expect(tab.page.get_by_role("link", name="Skip to the operations")).to_be_focused()
        tab.page.get_by_role("navigation", name="Contents").get_by_role("link", name="Jobs").click()
        expect(tab.page.get_by_role("heading", name="Jobs", exact=True)).to_be_in_viewport()
        tab.page.get_by_role("link", name="RedriveBody").first.click()
        expect(tab.page.get_by_role("heading", name="RedriveBody")).to_be_in_viewport()
