"""The API's description is of every route, sound, and the one that is checked in."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest

from claude_mem.http import schemas
from claude_mem.http.app import ROUTES
from claude_mem.http.openapi.document import document
from claude_mem.http.openapi.operation import operation_of
from claude_mem.http.openapi.page import CONTENT_SECURITY_POLICY, page
from hack.generate_openapi import PATH, rendered

PAGE_OF_ROUTES = (Path(__file__).parents[3] / "docs" / "reference" / "http.md").read_text(encoding="utf-8")


#: Scripts and styles of a page are no part of the API.
API = [route for route in ROUTES if route.path != "/viewer/{file}"]


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return document(ROUTES, version="0")


@pytest.mark.parametrize("route", API, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_is_described(route: Any) -> None:
    operation = operation_of(route.handler)
    assert operation is not None, "declare it with @describe beside its handler"
    section = PAGE_OF_ROUTES.partition(f"\n### {route.method} {route.path}\n")[2].partition("\n### ")[0]
    scope = f"`{operation.scope}`" if operation.scope else "this machine" if operation.local else "none"
    assert section.startswith(f"\nScope: {scope}"), "docs/reference/http.md says the same scope"


def test_operations_have_names_of_their_own(described: dict[str, Any]) -> None:
    names = [operation["operationId"] for path in described["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names)) == len(API)
    assert all(re.fullmatch("[a-z][A-Za-z]+", name) for name in names)


def test_the_checked_in_document_is_the_current_one() -> None:
    assert PATH.read_text(encoding="utf-8") == rendered(), "run hack/generate_openapi.py"


def _schemas(part: Any) -> list[dict[str, Any]]:
    if isinstance(part, list):
        return [schema for each in part for schema in _schemas(each)]
    if not isinstance(part, dict):
        return []
    own = [part["schema"]] if isinstance(part.get("schema"), dict) else []
    return own + [schema for each in part.values() for schema in _schemas(each)]


def _references(part: Any) -> set[str]:
    if isinstance(part, list):
        return set().union(*map(_references, part))
    if not isinstance(part, dict):
        return set()
    own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
    return own.union(*map(_references, part.values()))


def test_every_reference_leads_somewhere_and_everything_is_used(described: dict[str, Any]) -> None:
    components = described["components"]
    there = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "responses", "headers")
        for name in components[kind]
    }
    assert _references(described) == there


def test_every_schema_is_one(described: dict[str, Any]) -> None:
    found = [*_schemas(described["paths"]), *described["components"]["schemas"].values()]
    assert len(found) > 100
    for schema in found:
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema)


def test_bodies_accept_and_refuse_as_the_server_does(described: dict[str, Any]) -> None:
    body = {"$ref": "#/components/schemas/EventBody", "components": described["components"]}
    validator = jsonschema_rs.Draft202012Validator(body)
    good = {"projectId": "p", "sourceType": "hook", "eventType": "t", "occurredAtEpoch": 0}
    for change, fits in (
        ({}, True),
        ({"occurredAtEpoch": -1}, False),
        ({"occurredAtEpoch": 1.0}, True),
        ({"projectId": "x" * (schemas.MAX_ID + 1)}, False),
        ({"platformSource": None, "unknown": 1}, True),
        ({"eventType": None}, False),
    ):
        assert validator.is_valid(good | change) == fits, change


def test_only_the_closed_document_forbids_members(described: dict[str, Any]) -> None:
    closed = document(ROUTES, version="0", closed=True)
    assert b'"additionalProperties":false' not in orjson.dumps(described)
    assert closed["components"]["schemas"]["Event"]["additionalProperties"] is False


class _Outline(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.labelled: list[str] = []
        self.tags: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        for name, into in (("id", self.ids), ("href", self.links), ("aria-labelledby", self.labelled)):
            value = given.get(name)
            if value is not None:
                into.append(value)
        if given.get("src") or tag in {"script", "link", "img", "iframe"}:
            self.loaded.append(tag)


def test_the_page_stands_on_its_own(described: dict[str, Any]) -> None:
    outline = _Outline()
    html = page(described)
    outline.feed(html)
    assert outline.loaded == [], "nothing is loaded, nothing runs"
    assert "style=" not in html
    assert "script" not in CONTENT_SECURITY_POLICY
    assert len(outline.ids) == len(set(outline.ids))
    inside = {link[1:] for link in outline.links if link.startswith("#")}
    assert inside | set(outline.labelled) <= set(outline.ids)
    assert [link for link in outline.links if not link.startswith("#")] == ["openapi.json"]
    assert outline.tags.count("h1") == outline.tags.count("main") == 1
    assert outline.tags.count("h3") >= len(API)
    for path in described["paths"]:
        assert f"<code>{path}</code>" in html


def test_what_a_document_says_is_text_on_the_page() -> None:
    hostile = document(ROUTES, version="<script>alert(1)</script>")
    assert "<script" not in page(hostile)
