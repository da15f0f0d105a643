"""How the viewer is served: under a strict policy, cached by what it is, and nothing else beside it."""

from __future__ import annotations

import re

import pytest

from claude_mem.http.routes import viewer
from claude_mem.viewer.files import viewer_files
from tests.support.http import Server


@pytest.mark.parametrize("path", ["/", "/viewer"])
def test_the_page_comes_with_a_policy_that_lets_nothing_in(api: Server, path: str) -> None:
    page = api.call("GET", path)
    assert page.status_code == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Cache-Control"] == "no-cache"
    policy = dict(rule.split(" ", 1) for rule in page.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert "unsafe" not in str(policy)
    assert page.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/viewer/", "/docs/"])
def test_a_slash_too_many_leads_to_where_relative_addresses_are_right(api: Server, path: str) -> None:
    found = api.call("GET", path)
    assert (found.status_code, found.headers["Location"]) == (308, f"..{path.rstrip('/')}")


def test_every_file_is_served_as_what_it_is(api: Server) -> None:
    for name, file in viewer_files().items():
        found = api.call("GET", f"/viewer/{name}")
        assert (found.status_code, found.content) == (200, file.content), name
        assert found.headers["Content-Type"] == f"{file.media_type}; charset=utf-8"
        assert "Content-Security-Policy" in found.headers


def test_all_that_the_page_names_is_there(api: Server) -> None:
    page = api.call("GET", "/").text
    named = re.findall(r'(?:href|src)="([^"]+)"', page)
    assert len(named) >= 5
    assert not [name for name in named if name.startswith("/")], "a proxy may serve it under a prefix"
    assert [name for name in named if api.call("GET", f"/{name}").status_code != 200] == []


@pytest.mark.parametrize("header", ["{tag}", 'W/"other", {tag}'])
def test_a_browser_that_has_it_is_told_so(api: Server, header: str) -> None:
    tag = api.call("GET", "/viewer/main.js").headers["ETag"]
    again = api.call("GET", "/viewer/main.js", headers={"If-None-Match": header.format(tag=tag)})
    assert (again.status_code, again.content) == (304, b"")
    assert "Content-Security-Policy" in again.headers
    other = api.call("GET", "/viewer/main.js", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


@pytest.mark.parametrize(
    "name", ["files.py", "none.js", "..%2Ffiles.py", "%2e%2e%2ffiles.py", "%00", "static"]
)
def test_nothing_else_is_served(api: Server, name: str) -> None:
    found = api.call("GET", f"/viewer/{name}")
    assert (found.status_code, found.json()["error"]) == (404, "NotFound")


def test_a_package_without_the_files_says_so(api: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "viewer_files", dict)
    found = api.call("GET", "/")
    assert (found.status_code, found.json()["error"]) == (503, "ViewerUnavailable")
    assert api.call("GET", "/healthz").status_code == 200


def test_the_page_of_another_origin_gets_nothing(api: Server) -> None:
    found = api.call("GET", "/viewer", headers={"Origin": "https://elsewhere.example"})
    assert found.status_code == 403
