"""What may go wrong with what is shown: rows of any shape, endless and foreign texts, errors, lost rights, two tabs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.viewer_content import add_event, begin_session, fail, remember
from tests.support.browser import VIEWS, Viewer, viewing
from tests.support.http import Server, Tenant

HTML = "<!doctype html><title>Sign in to the proxy</title>"

#: What may come instead of sessions, and what is said of it.
ANSWERS: dict[str, tuple[dict[str, Any], str]] = {
    "a bug": ({"status": 500, "json": {"error": "InternalError", "message": "It failed."}}, "It failed."),
    "a proxy's error": ({"status": 502, "body": HTML}, "The server answered 502."),
    "a proxy's page": ({"status": 200, "body": HTML}, "The answer is not the server"),
    "nothing": ({"status": 200, "body": ""}, "The answer is not the server"),
    "a cut answer": ({"status": 200, "body": '{"sessions": [{"id"'}, "The answer is not the server"),
    "another release": ({"status": 200, "json": {"items": []}}, "could not show what the server answered"),
    "a limit": ({"status": 429, "headers": {"Retry-After": "7"}, "json": {}}, "Too many requests: wait 7 s"),
    "no database": ({"status": 503, "json": {}}, "database does not answer"),
}


def always(answer: dict[str, Any]) -> Callable[[Route], None]:
    return lambda route: route.fulfill(**answer)


def test_whatever_is_answered_is_told_and_can_be_asked_again(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    begin_session(server, tenant, "Comes in the end")
    viewer.sign_in(tenant.full)
    for answer, told in ANSWERS.values():
        viewer.page.route("**/v1/sessions?**", always(answer))
        viewer.go("Sessions")
        expect(viewer.page.get_by_role("alert")).to_contain_text(told)
        viewer.page.unroute("**/v1/sessions?**")
        viewer.insist_on(viewer.card("Comes in the end"))
        viewer.go("Keys")
    # Of an answer that nobody understands the console tells more.
    assert [problem for problem in viewer.problems if "TypeError" in problem] == viewer.problems != []
    viewer.problems.clear()


def test_a_server_that_cannot_be_reached_is_told_in_a_dialog_too(
    viewer: Viewer, server: Server, tenant: Tenant
) -> None:
    remember(server, tenant, "Stays for now")
    viewer.sign_in(tenant.full)
    viewer.page.route("**/v1/memories/*", lambda route: route.abort())
    viewer.card("Stays for now").get_by_role("button", name="Forget").click()
    viewer.dialog().get_by_role("button", name="Forget it").click()
    expect(viewer.dialog().get_by_role("alert")).to_contain_text("cannot be reached")
    viewer.page.unroute("**/v1/memories/*")
    viewer.dialog().get_by_role("button", name="Forget it").click()
    expect(viewer.card("Stays for now")).to_have_count(0)


def test_rows_of_any_shape_are_shown(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    """Adopted rows may hold any JSON where ours hold objects, and any text where ours hold a word."""
    session = begin_session(server, tenant, "Shapes")
    for kind, metadata in (("constructor", "[1]"), ("__proto__", '"text"'), ("toString", "7"), ("", "{}")):
        memory = remember(server, tenant, f"Of {metadata}", kind=kind or "x", serverSessionId=session)
        server.execute(
            f"UPDATE observations SET metadata = '{metadata}', kind = '{kind}' WHERE id = '{memory}'"
        )
    odd = {"title": 7, "facts": "one", "concepts": [None, {}, 1], "files_read": {"a": 1}, "narrative": ["x"]}
    remember(server, tenant, "Odd members", metadata=odd)
    server.execute(
        f"UPDATE server_sessions SET metadata = '[2]', platform_source = '' WHERE id = '{session}'"
    )
    job = ""
    for error in ("[]", '"words"', "{}", '{"reason": {"a": 1}, "classification": ["x"]}'):
        _, job = add_event(server, tenant, session, payload=error)
        fail(server, job, "x")
        server.execute(f"UPDATE observation_generation_jobs SET last_error = '{error}' WHERE id = '{job}'")
    viewer.sign_in(tenant.full)
    expect(viewer.page.get_by_role("article")).to_have_count(5)
    for view in VIEWS:
        viewer.go(view)
        viewer.unfold()
        expect(viewer.page.get_by_role("alert")).to_have_count(0)
    viewer.open(f"/#/sessions/{session}")
    expect(viewer.page.locator(".story > li")).to_have_count(8)
    viewer.open(f"/#/jobs/{job}")
    expect(viewer.page.get_by_role("heading", name="What happened to it")).to_be_visible()


def test_endless_and_foreign_texts_keep_their_place(browser: Browser, server: Server) -> None:
    override = "\u202e"  # Turns what follows it around, up to where its paragraph ends.
    tenant = server.tenant(f"{override}team")
    title = f"{override}{'👩‍👩‍👧‍👦 شرح ' * 900}end"
    memory = remember(server, tenant, "Long", title=title, metadata={"facts": ["🚀" * 3000, title]})
    session = begin_session(server, tenant, title)
    server.ok("POST", "/v1/keys", tenant.full, {"name": f"{override}key"}, status=201)
    with viewing(browser, server, viewport={"width": 360, "height": 740}) as viewer:
        page = viewer.page
        viewer.sign_in(tenant.full)
        for place in (*VIEWS, f"/#/memories/{memory}", f"/#/sessions/{session}"):
            if place in VIEWS:
                viewer.go(place)
            else:
                viewer.open(place)
            viewer.settled()
            assert viewer.overflow() <= 0, place
        assert len(page.title()) < 250
        assert "\ufffd" not in page.title()
        viewer.go("Timeline")
        page.get_by_role("button", name="Forget").click()
        forget = viewer.dialog().get_by_role("button", name="Forget it")
        expect(forget).to_be_in_viewport(ratio=1)
        page.keyboard.press("Escape")
        viewer.go("Keys")
        page.get_by_role("button", name=f"Revoke {override}key").click()
        expect(viewer.dialog()).to_be_visible()
        assert read_in_order(page, "fails on its very next request"), "the name turned around what follows it"


def read_in_order(page: Page, words: str) -> bool:
    """Whether the first of some words in a dialog stands left of, or above, the last."""
    order: bool = page.evaluate(
        """(words) => {
          const texts = document.createTreeWalker(document.querySelector("dialog"), NodeFilter.SHOW_TEXT);
          while (texts.nextNode() && !texts.currentNode.data.includes(words));
          const at = texts.currentNode.data.indexOf(words);
          const place = (from) => {
            const range = document.createRange();
            range.setStart(texts.currentNode, from);
            range.setEnd(texts.currentNode, from + 1);
            return range.getBoundingClientRect();
          };
          const [first, second] = [place(at), place(at + 1)];
          return first.left < second.left || first.top < second.top;
        }""",
        words,
    )
    return order


def test_a_key_that_loses_its_rights_is_told_so(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    remember(server, tenant, "Not yours any more")
    viewer.sign_in(tenant.full)
    scopes = "UPDATE api_keys SET scopes = '{}' WHERE id = '{}'".format
    server.execute(scopes('["memories:read"]', tenant.ids["full"]))
    viewer.card("Not yours any more").get_by_role("button", name="Forget").click()
    viewer.dialog().get_by_role("button", name="Forget it").click()
    expect(viewer.dialog().get_by_role("alert")).to_have_text("This key may not do that: it lacks a scope.")
    viewer.page.keyboard.press("Escape")
    expect(viewer.card("Not yours any more")).to_be_visible()
    server.execute(scopes("[]", tenant.ids["full"]))
    viewer.page.evaluate("location.hash = '#/jobs'")
    expect(viewer.page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_two_tabs_agree(viewer: Viewer, server: Server, tenant: Tenant) -> None:
    remember(server, tenant, "Seen twice")
    viewer.sign_in(tenant.full)
    other = Viewer(viewer.page.context.new_page(), server)
    other.open()
    expect(other.page.get_by_label("API key")).to_be_visible()
    other.sign_in(tenant.admin)
    expect(other.card("Seen twice")).to_be_visible()
    viewer.page.get_by_role("button", name="System theme").click()
    expect(other.page.get_by_role("button", name="Light theme")).to_be_visible()
    viewer.card("Seen twice").get_by_role("button", name="Forget").click()
    other.card("Seen twice").get_by_role("button", name="Forget").click()
    other.dialog().get_by_role("button", name="Forget it").click()
    expect(viewer.card("Seen twice")).to_have_count(0)
    viewer.dialog().get_by_role("button", name="Forget it").click()
    expect(viewer.dialog().get_by_role("alert")).to_have_text("That is not there any more.")
    viewer.page.keyboard.press("Escape")
    other.page.get_by_role("button", name="Sign out").click()
    expect(other.page.get_by_label("API key")).to_be_visible()
    viewer.go("Jobs")
    other.check()
