"""What the documents point at is there: files, headings, variables, make targets, commands and their options."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from claude_mem.cli.main import application
from claude_mem.environment.catalogue import UNREAD, VARIABLES
from claude_mem_operator.config import settings as operator_settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
SETTINGS_ELSEWHERE = ("docker-compose.yml", ".env.example", "hack/setup", "Dockerfile.runtime")
ASSIGNMENT = re.compile(r"\w+=\S*")

page_names = pytest.mark.parametrize("name", TEXTS)


def _anchors(text: str) -> set[str]:
    """The fragments under which a page's headings are reached."""
    headings = re.findall(r"^#{1,6} (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _links(text: str) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", text))
    return [link for link in found if not link.startswith(("http://", "https://", "mailto:"))]


def _commands(text: str) -> Iterator[list[str]]:
    """The words of each command in shell blocks and in code within sentences; assignments before it are left out."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += [line.strip() for line in re.findall(r"^    (make .+)$", text, re.MULTILINE)]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    lines += [code for code in re.findall(r"`([^`\n]+)`", prose) if re.match(r"(claude-mem|make) ", code)]
    for line in lines:
        for part in re.split(r"\|\||&&|[|;]", line):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:
                continue  # Part of a quoted text over several lines.
            while words and ASSIGNMENT.fullmatch(words[0]):
                del words[0]
            if words[:3] == ["docker", "compose", "exec"]:
                del words[:4]
            if words:
                yield [Path(words[0]).name, *words[1:]]


def _unknown(words: list[str]) -> str | None:
    """What of a `claude-mem` command does not exist."""
    command: Any = typer.main.get_command(application())
    rest = iter(words[1:])
    for word in rest:
        if word.startswith("-") and word != "-":
            name, _, value = word.partition("=")
            options = {
                one: option for option in command.params for one in (*option.opts, *option.secondary_opts)
            }
            if name not in options and name != "--help":
                return word
            if name in options and not options[name].is_flag and not value:
                next(rest, None)
        elif hasattr(command, "commands"):
            if word not in command.commands:
                return word
            command = command.commands[word]
    return None


@page_names
def test_links_lead_somewhere(name: str) -> None:
    for link in _links(TEXTS[name]):
        path, _, fragment = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), f"{name}: {link}"
        if fragment and target.suffix == ".md":
            assert fragment in _anchors(target.read_text(encoding="utf-8")), f"{name}: {link}"


def test_every_document_is_in_the_index() -> None:
    linked = {
        ((ROOT / "docs") / link.partition("#")[0]).resolve() for link in _links(TEXTS["docs/README.md"])
    }
    pages = {page.resolve() for page in (ROOT / "docs").rglob("*.md")}
    assert pages - linked == {(ROOT / "docs" / "README.md").resolve()}


@page_names
def test_variables_that_are_named_exist(name: str) -> None:
    known = {one for variable in VARIABLES for one in variable.names} | set(UNREAD)
    known |= {setting.variable for setting in operator_settings()}
    for path in SETTINGS_ELSEWHERE:
        known |= set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", (ROOT / path).read_text(encoding="utf-8")))
    named = re.findall(
        r"\b(?:CLAUDE_MEM|ANTHROPIC|GEMINI|OPENROUTER)_[A-Z0-9_]*[A-Z0-9]\b(?!_|\*)", TEXTS[name]
    )
    assert set(named) <= known


@page_names
def test_commands_that_are_named_exist(name: str) -> None:
    for words in _commands(TEXTS[name]):
        if words[0] == "claude-mem":
            unknown = _unknown(words)
            assert unknown is None, f"{name}: {' '.join(words)}: {unknown}"


@page_names
def test_make_targets_that_are_named_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for words in _commands(TEXTS[name]):
        if words[0] == "make":
            assert {word for word in words[1:] if not ASSIGNMENT.fullmatch(word)} <= targets, (
                f"{name}: {words}"
            )


@page_names
def test_files_of_the_repository_that_are_named_exist(name: str) -> None:
    named = re.findall(r"`((?:docs|examples|hack|requirements|runtime|tests)/[\w./-]+)`", TEXTS[name])
    named += [words[0] for words in _commands(TEXTS[name]) if words[0].startswith("hack/")]
    assert [path for path in named if not (ROOT / path).exists()] == []


@page_names
def test_json_in_requests_is_json(name: str) -> None:
    bodies = re.findall(r"-d '([^']+)'", TEXTS[name])
    for body in bodies:
        assert isinstance(json.loads(body), dict), f"{name}: {body}"


@page_names
def test_shell_blocks_are_shell(name: str) -> None:
    for block in re.findall(r"^```sh\n(.*?)^```", TEXTS[name], re.MULTILINE | re.DOTALL):
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, check=False, text=True)
        assert done.returncode == 0, f"{name}: {block}\n{done.stderr}"


def test_what_is_not_there_would_be_noticed() -> None:
    assert _unknown(["claude-mem", "server", "jobs", "retry", "ID", "--team", "T"]) is None
    assert _unknown(["claude-mem", "server", "frobnicate"]) == "frobnicate"
    assert _unknown(["claude-mem", "search", "words", "--frobnicate"]) == "--frobnicate"
    assert sum(1 for text in TEXTS.values() for words in _commands(text) if words[0] == "claude-mem") > 50
    assert "make" in {words[0] for words in _commands(TEXTS["README.md"])}
