"""docs/reference/mcp.md says what the tools take, what they may do, and who may call them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from claude_mem.mcp.server import TOOLS
from claude_mem.model.scopes import READ, WRITE
from claude_mem.services import briefing

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "mcp.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Tools")[2].partition("\n## ")[0]
ARGUMENT = re.compile(r"((?:`\w+`(?: and )?)+)(?: (\d+)\u2013(\d+))?(?: \((`?)(\w+)\4\))?")


class Row(NamedTuple):
    """A row of the table.

    Parameters:
        arguments: bounds and default of each argument, where the row has them.
        leading: arguments that stand before a semicolon and have no default.
    """

    arguments: dict[str, dict[str, Any]]
    leading: set[str]
    key: str


def _row(cell: str, key: str) -> Row:
    arguments: dict[str, dict[str, Any]] = {}
    leading = set()
    first, _, _ = cell.partition(";")
    for match in ARGUMENT.finditer(cell):
        said: dict[str, Any] = {}
        if match[2]:
            said |= {"minimum": int(match[2]), "maximum": int(match[3])}
        if match[5]:
            said["default"] = (
                int(match[5]) if match[5].isdigit() else {"false": False}.get(match[5], match[5])
            )
        for name in re.findall(r"`(\w+)`", match[1]):
            arguments[name] = said
            if "default" not in said and match.start() < len(first):
                leading.add(name)
    return Row(arguments, leading, key)


ROWS = {
    name: _row(cell, key)
    for name, cell, key in re.findall(
        r"^\| (`\w+`(?: with `\w+`)?) \| (.*?) \| .* \| (\w+) \|$", SECTION, re.MULTILINE
    )
}
BUDGETED = "`context` with `maxTokens`"


def _bounds(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: schema[name] for name in ("minimum", "maximum", "default") if name in schema}


def test_every_tool_is_described_and_no_other() -> None:
    assert ROWS.keys() - {BUDGETED} == {f"`{name}`" for name in TOOLS}


@pytest.mark.parametrize("name", TOOLS)
def test_the_arguments_of_a_tool_are_described(name: str) -> None:
    tool, row = TOOLS[name], ROWS[f"`{name}`"]
    inputs = {argument: _bounds(schema) for argument, schema in tool.inputs.items()}
    if name == "context":
        of_budget = ROWS[BUDGETED].arguments
        assert inputs.pop("maxTokens") == of_budget["maxTokens"]
        assert of_budget["maxTokens"]["maximum"] == briefing.MOST_TOKENS
        plain, wide = row.arguments["limit"], of_budget["limit"]
        assert wide == {"minimum": 1, "maximum": briefing.MOST_MEMORIES, "default": briefing.MEMORIES}
        # One schema for both: its bounds hold for the wider, and what is the default depends.
        assert inputs["limit"] == {"minimum": 1, "maximum": wide["maximum"]}
        said = tool.inputs["limit"]["description"]
        assert f"{plain['default']} unless given, and up to {plain['maximum']};" in said
        assert f"with maxTokens {wide['default']} unless given, and up to {wide['maximum']}." in said
        inputs["limit"] = plain
    assert row.arguments == inputs
    assert row.leading == set(tool.required)


@pytest.mark.parametrize("name", TOOLS)
def test_the_scope_of_a_tool_is_described(name: str) -> None:
    assert {"read": READ, "write": WRITE}[ROWS[f"`{name}`"].key] == TOOLS[name].scope


def test_annotations_are_described() -> None:
    defined = {name: tool.definition().annotations for name, tool in TOOLS.items()}
    assert all(found is not None for found in defined.values())

    def those(hint: str) -> set[str]:
        return {name for name, found in defined.items() if getattr(found, hint)}

    assert "those that read are `readOnlyHint`" in SECTION
    assert those("read_only_hint") == {name for name in TOOLS if ROWS[f"`{name}`"].key == "read"}
    assert those("destructive_hint") == _named(r"((?:`\w+`(?:, | and )?)+) is `destructiveHint`")
    assert TOOLS.keys() - those("idempotent_hint") == _named(
        r"only ((?:`\w+`(?:, | and )?)+) is not\s`idempotentHint`"
    )
    assert not those("open_world_hint")


def test_who_gives_structured_content_is_described() -> None:
    plain = {name for name, tool in TOOLS.items() if tool.output is None}
    assert plain == _named(r"((?:`\w+`(?:, | and )?)+) answer with JSON as text")


def _named(pattern: str) -> set[str]:
    match = re.search(pattern, SECTION)
    assert match is not None, pattern
    return set(re.findall(r"`(\w+)`", match[1]))
