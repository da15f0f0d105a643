"""The viewer by keyboard alone, with a screen reader's eyes, on a phone, in light and dark."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.browser.viewer_content import add_event, adorn, fail, fill, remember
from tests.support.browser import VIEWS, Viewer, viewing
from tests.support.http import Server, Tenant

DESK: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 360, "height": 740}
SIZES = {"desk": DESK, "phone": PHONE}

FOCUSED = "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.trim()"


def tab_to(page: Page, name: str, *, back: bool = False) -> None:
    """Press Tab until something of that name has the focus, and see that it shows."""
    passed = []
    for _ in range(60):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        passed.append(page.evaluate(FOCUSED))
        if name in passed[-1]:
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid", f"{name} has the focus, but nothing shows it"
            return
    pytest.fail(f"{name} is not reached by Tab, but {passed}")


def test_everything_is_reached_by_keyboard_alone(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    fill(server, tenant)
    page = viewer.page
    viewer.open()
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.type(tenant.full)
    page.keyboard.press("Enter")
    viewer.wait_live()
    viewer.settled()

    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    tab_to(page, "Kind")

    tab_to(page, "Jobs", back=True)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Jobs", level=1)).to_be_focused()
    viewer.settled()
    tab_to(page, "Queue failed jobs again")
    page.keyboard.press("Enter")
    expect(viewer.dialog()).to_be_visible()
    for _ in range(12):
        page.keyboard.press("Tab")
        inside = page.evaluate(
            "document.activeElement.closest('dialog') !== null || document.activeElement === document.body"
        )
        assert inside, "the focus left the dialog for what is behind it"
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Queue failed jobs again")).to_be_focused()
    tab_to(page, "Try again")
    page.keyboard.press("Enter")
    expect(viewer.dialog()).to_be_visible()
    tab_to(page, "Try again")
    page.keyboard.press("Enter")
    expect(viewer.dialog()).to_have_count(0)
    expect(page.get_by_role("group", name="State").get_by_role("button", name="Failed")).to_have_text(
        "Failed0"
    )

    tab_to(page, "Keys", back=True)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Keys", level=1)).to_be_focused()
    viewer.settled()
    tab_to(page, "New key")
    page.keyboard.press("Enter")
    expect(viewer.dialog().get_by_label("Name")).to_be_focused()
    page.keyboard.type("made by keyboard")
    page.keyboard.press("Enter")
    expect(viewer.dialog().locator(".secret")).to_be_visible()
    tab_to(page, "Done")
    page.keyboard.press("Enter")
    expect(viewer.card("made by keyboard")).to_be_visible()
    tab_to(page, "Sign out", back=True)
    page.keyboard.press("Enter")
    expect(page.get_by_label("API key")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_no_view_has_a_barrier(browser: Browser, server: Server, scheme: str, size: str) -> None:
    tenant = server.tenant()
    session = fill(server, tenant)
    adorn(server, tenant)
    job = server.ok("GET", "/v1/jobs?status=failed", tenant.full)["jobs"][0]["id"]
    options: dict[str, Any] = {"color_scheme": scheme, "viewport": SIZES[size], "reduced_motion": "reduce"}
    with viewing(browser, server, **options) as viewer:

        def look(name: str) -> None:
            viewer.picture(f"{name}-{scheme}-{size}")
            problems = viewer.accessibility()
            assert not problems, (name, problems)
            assert viewer.overflow() <= 0, name

        viewer.open()
        expect(viewer.page.get_by_label("API key")).to_be_visible()
        look("signing-in")
        viewer.sign_in(tenant.admin)
        for view in VIEWS:
            viewer.go(view)
            viewer.picture(f"{view}-folded-{scheme}-{size}")
            viewer.unfold()
            look(view)
        for name, place in (
            ("session", f"/#/sessions/{session}"),
            ("job", f"/#/jobs/{job}"),
            ("found", "/#/search?q=cache"),
        ):
            viewer.open(place)
            viewer.settled()
            viewer.unfold()
            look(name)
        viewer.go("Keys").page.get_by_role("button", name="New key").click()
        expect(viewer.dialog()).to_be_visible()
        look("new-key")
        viewer.page.keyboard.press("Escape")
        viewer.go("Usage").page.get_by_role("button", name="Set a budget").click()
        expect(viewer.dialog()).to_be_visible()
        look("new-budget")


def test_a_phone_holds_long_words_and_many_figures(browser: Browser, server: Server) -> None:
    tenant = server.tenant("a-team-with-a-name-that-does-not-end-" * 4)
    endless = "unbroken" * 60
    remember(server, tenant, endless, title=endless, kind=endless, metadata={"files_read": [endless]})
    _, job = add_event(server, tenant, payload={"tool_name": endless})
    fail(server, job, endless)
    server.ok("POST", "/v1/keys", tenant.full, {"name": endless[:120]}, status=201)
    with viewing(browser, server, viewport=PHONE, has_touch=True) as viewer:
        viewer.sign_in(tenant.full)
        for view in VIEWS:
            viewer.go(view)
            assert viewer.overflow() <= 0, view
        links = viewer.page.get_by_role("navigation", name="Views").get_by_role("link").all()
        sizes = [box for link in links if (box := link.bounding_box())]
        assert min(min(box["width"], box["height"]) for box in sizes) >= 44


def test_the_theme_is_the_systems_until_somebody_chooses(browser: Browser, server: Server) -> None:
    with viewing(browser, server, color_scheme="dark") as viewer:
        page = viewer.page

        def paper() -> str:
            return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

        viewer.open()
        expect(page.get_by_label("API key")).to_be_visible()
        dark = paper()
        page.emulate_media(color_scheme="light")
        light = paper()
        assert dark != light
        page.get_by_role("button", name="System theme").click()
        page.get_by_role("button", name="Light theme").click()
        expect(page.get_by_role("button", name="Dark theme")).to_be_focused()
        assert paper() == dark
        page.reload()
        expect(page.get_by_role("button", name="Dark theme")).to_be_visible()
        assert paper() == dark
        page.get_by_role("button", name="Dark theme").click()
        assert paper() == light


def test_the_check_for_barriers_finds_one(viewer: Viewer) -> None:
    viewer.open()
    expect(viewer.page.get_by_label("API key")).to_be_visible()
    viewer.page.evaluate("document.querySelector('.brand img').removeAttribute('alt')")
    assert "image-alt" in str(viewer.accessibility())


def test_nothing_moves_for_who_wants_no_motion(browser: Browser, server: Server) -> None:
    tenant = server.tenant()
    with viewing(browser, server, reduced_motion="reduce") as viewer:
        viewer.sign_in(tenant.full)
        remember(server, tenant, "Arrives at rest")
        expect(viewer.card("Arrives at rest")).to_be_visible()
        assert viewer.page.evaluate("document.getAnimations().length") == 0
