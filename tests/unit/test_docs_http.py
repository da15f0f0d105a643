"""docs/reference/http.md says what the routes do: their scopes, bodies, parameters and statuses, and what errors mean."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, get_args

import pytest
from aiohttp import web
from pydantic import AliasChoices, BaseModel, TypeAdapter

from claude_mem.http import answers, schemas, validation
from claude_mem.http.app import ROUTES
from claude_mem.model import errors, scopes

ROOT = Path(__file__).parents[2]
RUNTIME = ROOT / "runtime" / "claude_mem"
PAGE = (ROOT / "docs" / "reference" / "http.md").read_text(encoding="utf-8")
SECTIONS = {
    f"{method} {path}": text
    for method, path, text in re.findall(
        r"^### (GET|POST|PUT|PATCH|DELETE) (\S+)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL
    )
}
BY_NAME = {f"{route.method} {route.path}": route for route in ROUTES}
SCOPES = {"READ": scopes.READ, "WRITE": scopes.WRITE}
READS_A_PARAMETER = {"integer", "text", "flag", "_time", "_project", "get", "getall"}
KNOWN_HELPERS = {
    "status": "status",
    "named_project": "projectId",
    "source_type": "source_type",
    "since_us": "since",
    "wants_payload": "include",
}


class Handler:
    """What a route's handler, and those that it calls in its module, ask of a request."""

    def __init__(self, route: web.RouteDef) -> None:
        self.module: ModuleType = sys.modules[route.handler.__module__]
        self.trees = list(self._trees(route.handler, set()))
        self.calls = [node for tree in self.trees for node in ast.walk(tree) if isinstance(node, ast.Call)]

    def _trees(self, function: Any, seen: set[str]) -> Iterator[ast.AST]:
        if function.__name__ in seen:
            return
        seen.add(function.__name__)
        tree = ast.parse(inspect.getsource(function))
        yield tree
        for node in ast.walk(tree):
            called = getattr(self.module, node.id, None) if isinstance(node, ast.Name) else None
            if isinstance(called, FunctionType) and called.__module__ == self.module.__name__:
                yield from self._trees(called, seen)

    @property
    def scope(self) -> str:
        for call in self.calls:
            if isinstance(call.func, ast.Name) and call.func.id == "authorize":
                return f"`{SCOPES[ast.unparse(call.args[1])]}`"
            if isinstance(call.func, ast.Name) and call.func.id == "_require_local":
                return "this machine"
        return "none"

    @property
    def body(self) -> type[BaseModel] | None:
        """The model of one body; of a batch, that of an element."""
        own = {node.id for node in ast.walk(self.trees[0]) if isinstance(node, ast.Name)}
        for name in own:
            shape = getattr(self.module, name, None)
            if isinstance(shape, TypeAdapter):
                model = shape._type
                return _plain(model)
        return None

    @property
    def parameters(self) -> set[str]:
        names: set[str] = set()
        for call in self.calls:
            called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if called in KNOWN_HELPERS:
                names.add(KNOWN_HELPERS[called])
            of_query = called not in {"get", "getall"} or ast.unparse(call.func).startswith("request.query")
            if called in READS_A_PARAMETER and of_query:
                names |= {str(ast.literal_eval(arg)) for arg in call.args[:2] if _is_text(arg)}
        return names

    @property
    def success(self) -> set[str]:
        """Statuses below 300 that the handler itself names; 200 where it names none."""
        named = {
            str(node.value)
            for tree in self.trees
            for keyword in ast.walk(tree)
            if isinstance(keyword, ast.keyword) and keyword.arg == "status"
            for node in ast.walk(keyword.value)
            if isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value < 300
        }
        return named or {"200"}


def _plain(shape: Any) -> type[BaseModel]:
    """The model itself; of alternatives, the last, which is the one that clients have known longest."""
    if isinstance(shape, type):
        return shape
    parts = get_args(shape)
    return parts[-1] if all(isinstance(part, type) for part in parts) else get_args(parts[0])[0]  # type: ignore[no-any-return]


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _table(section: str) -> dict[str, tuple[str, str]]:
    """Members of a body by their names: whether they are required, and what their values are."""
    rows = re.findall(r"^\| `(\w+)` \| (yes|no) \| (.+) \|$", section, re.MULTILINE)
    return {name: (required, value) for name, required, value in rows}


def _names(field: str, info: Any) -> list[str]:
    if isinstance(info.validation_alias, AliasChoices):
        return [str(choice) for choice in info.validation_alias.choices]
    return [str(info.alias or field)]


def _limits(schema: Any) -> set[int]:
    """The bounds in a member's JSON schema, but for the one character that every text has."""
    if isinstance(schema, list):
        return set().union(*map(_limits, schema))
    if not isinstance(schema, dict):
        return set()
    bounds = {"minimum", "maximum", "maxLength", "maxItems", "ge", "le"}
    own = {int(schema[name]) for name in bounds & schema.keys()}
    return own.union(*(_limits(schema[name]) for name in ("anyOf", "allOf") if name in schema))


def test_every_route_is_described_and_no_other() -> None:
    assert SECTIONS.keys() == BY_NAME.keys()


@pytest.mark.parametrize("name", BY_NAME)
def test_a_route_asks_for_the_scope_that_is_named(name: str) -> None:
    match = re.match(r"\nScope: ([^.,]+?)[.,]", SECTIONS[name])
    assert match is not None, "each section begins with its scope"
    assert match[1] == Handler(BY_NAME[name]).scope


@pytest.mark.parametrize("name", BY_NAME)
def test_a_route_answers_with_the_status_that_is_named(name: str) -> None:
    if name == "GET /":
        return
    first = re.search(r"Answers ([^;:.]*)", SECTIONS[name])
    assert first is not None
    assert set(re.findall(r"\b2\d\d\b", first[1])) == Handler(BY_NAME[name]).success


@pytest.mark.parametrize("name", [name for name in BY_NAME if Handler(BY_NAME[name]).body is not None])
def test_a_body_has_the_members_that_are_named(name: str) -> None:
    model = Handler(BY_NAME[name]).body
    assert model is not None
    if name == "POST /v1/events/batch":
        assert "as above" in SECTIONS[name]
        return
    table = _table(SECTIONS[name])
    schema = model.model_json_schema(by_alias=True)["properties"]
    described = set()
    for field, info in model.model_fields.items():
        names = _names(field, info)
        row = next((table[found] for found in names if found in table), None)
        if row is None:
            # A second spelling stands in the row of the first.
            assert any(f"`{found}`" in SECTIONS[name] for found in names), f"{names} is not described"
            continue
        required, value = row
        described |= set(names)
        assert required == ("yes" if info.is_required() else "no"), names
        assert ("may be null" in value) == (type(None) in get_args(info.annotation)), names
        for limit in _limits(schema[names[0]]):
            known = value.startswith("id of ") and limit == schemas.MAX_ID
            assert known or re.search(rf"\b{limit}\b", value), f"{names}: {limit} is missing"
    assert table.keys() <= described, "a member that the route does not know is described"


def test_a_context_within_a_budget_has_the_members_that_are_named() -> None:
    section = SECTIONS["POST /v1/context"].partition("With `maxTokens`")[2]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE))
    schema = schemas.BriefingBody.model_json_schema(by_alias=True)["properties"]
    changed = schema.keys() - schemas.QuestionBody.model_json_schema(by_alias=True)["properties"].keys()
    assert rows.keys() == changed
    for name in changed:
        bounds = _limits(schema[name]) | {schema[name]["default"]}
        assert all(re.search(rf"\b{bound}\b", rows[name]) for bound in bounds), name


@pytest.mark.parametrize("name", BY_NAME)
def test_the_query_parameters_of_a_route_are_named(name: str) -> None:
    section = SECTIONS[name]
    if name == "POST /v1/events/batch":
        section += SECTIONS["POST /v1/events"]
    missing = {one for one in Handler(BY_NAME[name]).parameters if f"`{one}" not in section}
    assert not missing


def test_the_scopes_that_a_key_may_carry_are_described() -> None:
    table = PAGE.partition("**Scopes.**")[2].partition("**Teams and projects.**")[0]
    named = "".join(re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE))
    assert set(re.findall(r"`([a-z:*]+)`", named)) == scopes.KNOWN
    for alias, meant in scopes.ALIASES.items():
        row = next(line for line in table.splitlines() if f"`{alias}`" in line)
        assert f"as `{meant}`" in row


def _error_labels() -> Iterator[tuple[str, int | None]]:
    kinds = [
        kind for module in (errors, validation) for kind in vars(module).values() if isinstance(kind, type)
    ]
    for kind in kinds:
        if issubclass(kind, errors.ClaudeMemError) and kind is not errors.ClaudeMemError:
            yield kind.label, answers.status_of(kind.__new__(kind))
    for path in (RUNTIME / "http").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "error" and _is_text(value):
                        yield ast.literal_eval(value), None


def test_every_error_is_described_with_its_status_and_no_other() -> None:
    table = dict(re.findall(r"^\| `([^`]+)` \| (\d{3}|any) \|", PAGE.partition("## Errors")[2], re.MULTILINE))
    labels = list(_error_labels())
    assert table.keys() == {label for label, _ in labels}
    assert {label: status for label, status in labels if status} == {
        label: int(table[label]) for label, status in labels if status
    }


def _audit_actions() -> set[str]:
    """Texts of the form of an action, wherever an audit entry may be made."""
    shape = re.compile(
        r"(api_key|budget|event|generation_job|memory|observation|project|retention|session|team)\.[a-z_]+"
    )
    found = set()
    for folder in ("services", "http", "worker", "process", "cli"):
        for path in (RUNTIME / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.Call)
                    and ast.unparse(node.func).endswith("context.audit")
                    and node.args
                ):
                    found |= {ast.literal_eval(node.args[0])} if _is_text(node.args[0]) else set()
                if isinstance(node, ast.Constant) and _is_text(node) and shape.fullmatch(str(node.value)):
                    found.add(str(node.value))
    return found


def test_every_audit_action_is_described_and_no_other() -> None:
    table = PAGE.partition("## Audit actions")[2]
    assert set(re.findall(r"^\| `([a-z_.]+)` \|", table, re.MULTILINE)) == _audit_actions()


def test_this_test_sees_what_handlers_ask() -> None:
    """The reading of source above still finds something: else it would pass by finding nothing."""
    asked = [Handler(route) for route in ROUTES]
    assert {handler.scope for handler in asked} == {
        "none",
        "this machine",
        *map("`{}`".format, SCOPES.values()),
    }
    assert sum(handler.body is not None for handler in asked) >= 12
    assert Handler(BY_NAME["GET /v1/jobs"]).parameters >= {"status", "since", "include", "limit", "offset"}
    assert Handler(BY_NAME["POST /v1/sessions/start"]).success == {"200", "201"}
