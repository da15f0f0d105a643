"""The events of streams, and why meaning had no say in a search, are described, and no others."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from claude_mem.http import following
from claude_mem.services import live, question_vectors, semantic

DOCS = Path(__file__).parents[2] / "docs"
HTTP = (DOCS / "reference" / "http.md").read_text(encoding="utf-8")
SEMANTIC = (DOCS / "how-to" / "semantic-search.md").read_text(encoding="utf-8")


def _section(title: str) -> str:
    return HTTP.partition(f"\n### {title}\n")[2].partition("\n##")[0]


def _calls(module: ModuleType) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Call):
            yield node


def _texts(node: ast.AST) -> set[str]:
    """What a text is, in each of its cases."""
    if isinstance(node, ast.IfExp):
        return _texts(node.body) | _texts(node.orelse)
    return {str(node.value)} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def _sent(function: str) -> set[str]:
    """Names of the events that a function sends, as far as it has them in words."""
    source = ast.parse(inspect.getsource(getattr(following, function)))
    sends = [
        node
        for node in ast.walk(source)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".send")
    ]
    return set().union(*(_texts(call.args[0]) for call in sends))


def test_the_events_of_a_scope_are_described() -> None:
    kinds = set(re.findall(r"'(\w+)'", str(live.News.__dataclass_fields__["kind"].type).replace('"', "'")))
    table = re.findall(r"^\| `(\w+)` \|", _section("GET /v1/stream"), re.MULTILINE)
    assert len(kinds) == 3
    assert set(table) == kinds | _sent("follow_scope")


def test_the_events_of_a_job_are_described() -> None:
    section = _section("GET /v1/jobs/{id}/events")
    sent = _sent("follow_job")
    assert sent == {"progress", "end"}
    assert all(re.search(rf"\ban? `{name}`", section) for name in sent)


def test_why_meaning_had_no_say_is_described() -> None:
    reasons: set[str] = set()
    for module in (semantic, question_vectors):
        for call in _calls(module):
            if ast.unparse(call.func) == "NoVector":
                reasons |= _texts(call.args[0])
            for keyword in call.keywords:
                if keyword.arg == "missing":
                    reasons |= _texts(keyword.value)
    assert len(reasons) > 4, "this test still finds them"
    table = SEMANTIC.partition("| `missing` |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == reasons
