"""Observations from shell commands: tests and what became of them, failures, commits, telling outputs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from claude_mem.generation.port import DraftObservation
from claude_mem.generation.rules.text import FACT_LENGTH, TITLE_LENGTH, block, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from claude_mem.generation.rules.tools import ToolCall

_TESTS = re.compile(
    r"\b(?:pytest|tox|nox|unittest|jest|vitest|mocha|rspec|phpunit|ctest|playwright"
    r"|(?:npm|pnpm|yarn|bun|go|cargo|make|mvn|gradle|gradlew|dotnet|mix|deno|rake)"
    r"\s+(?:run\s+)?(?:test|check|verify)\b)"
)
_COMMIT = re.compile(r"""\bgit\s+commit\b[^"']{0,200}?-[a-z]*m\s*(?:"([^"]+)"|'([^']+)')""")
_INSTALL = re.compile(
    r"\b(?:pip3?|uv|poetry|cargo|gem|composer|go|npm|pnpm|yarn|bun|brew|apt|apt-get)\s+(?:pip\s+)?"
    r"(?:install|add|get|remove|uninstall)\s+[^&|;\n]+"
)
_LOOKING = re.compile(
    r"\s*(?:cd|ls|pwd|which|whoami|date|clear|true|sleep|mkdir|touch|tree|stat|env|history|wc"
    r"|git\s+(?:status|branch|add|fetch|push|pull|checkout|switch|stash\s+list))\b"
)
_FAILURE = re.compile(
    r"(?i:\b\w*(?:error|exception)(?:\[\w+\])?[:(]|\bfatal:|\bpanicked\b|command not found"
    r"|no such file|permission denied|\b[1-9]\d* (?:failed|failing|errors?)\b)|\bFAIL(?:ED)?\b"
)
_PASSED = re.compile(
    r"(?i)\b\d+ (?:passed|passing|tests? passed)\b|\bok\b.*\d|\bPASS(?:ED)?\b|test result: ok"
)
_LINE = 500
_COMMAND = 4_000
_MOST_FACTS = 8


@dataclass(slots=True)
class TestHistory:
    """Test commands of the batch that failed so far, with what they said."""

    __test__ = False  # pytest takes the name for a test class

    failing: dict[str, str] = field(default_factory=dict)


def observe_command(call: ToolCall, history: TestHistory) -> DraftObservation | None:
    """The observation for one command, None when it teaches nothing; failing tests enter `history`."""
    command = call.word("command", "cmd", "script", "input")
    if not command and isinstance(words := call.given.get("command"), list):
        command = " ".join(str(word) for word in words)
    if not command:
        return None
    command, output = command[:_COMMAND], call.text
    trouble = _trouble(call, output)
    draft = _tests(command, output, trouble, history) if _TESTS.search(command) else None
    draft = draft or _other(command, output, trouble, purpose=call.word("description"))
    return draft and draft.model_copy(update={"source_events": [call.event_id]})


def _trouble(call: ToolCall, output: str) -> list[str]:
    lines = [shorten(line, FACT_LENGTH).removeprefix("FAILED ") for line in _matching(_FAILURE, output)]
    return list(dict.fromkeys(lines)) or (
        [shorten(output or "it gave no output", FACT_LENGTH)] if call.failed else []
    )


def _matching(pattern: re.Pattern[str], output: str) -> Iterator[str]:
    return (line for line in output.splitlines() if pattern.search(line[:_LINE]))


def _tests(command: str, output: str, trouble: list[str], history: TestHistory) -> DraftObservation | None:
    if trouble:
        history.failing[command] = trouble[0]
        return DraftObservation(
            type="discovery",
            title=shorten(f"Tests fail: {trouble[0]}", TITLE_LENGTH),
            subtitle=shorten(f"Reported by `{command}`", FACT_LENGTH),
            facts=trouble[:_MOST_FACTS],
            narrative=block(f"`{command}` failed.\n{_tail(output)}"),
            concepts=["gotcha"],
        )
    passed = next(_matching(_PASSED, output), "")
    result = shorten(passed.strip("= "), FACT_LENGTH) or "the command reported no failure"
    earlier = history.failing.pop(command, None) or (
        history.failing.popitem()[1] if history.failing else None
    )
    if earlier:
        return DraftObservation(
            type="bugfix",
            title=shorten(f"Tests pass again after: {earlier}", TITLE_LENGTH),
            subtitle=shorten(f"Reported by `{command}`", FACT_LENGTH),
            facts=[f"Before: {earlier}", f"Now: {result}"],
            narrative=block(
                f"`{command}` failed earlier with: {earlier}. After the edits in between it passes: {result}."
            ),
            concepts=["problem-solution"],
        )
    return DraftObservation(
        type="discovery",
        title=shorten(f"Tests pass: {result}", TITLE_LENGTH),
        facts=[f"`{command}` passes: {result}"],
        narrative=shorten(f"`{command}` was run and passes: {result}.", FACT_LENGTH),
        concepts=["how-it-works"],
    )


def _other(command: str, output: str, trouble: list[str], *, purpose: str) -> DraftObservation | None:
    line = shorten(command, FACT_LENGTH)
    if trouble:
        return DraftObservation(
            type="discovery",
            title=shorten(f"Command fails: {trouble[0]}", TITLE_LENGTH),
            subtitle=f"`{line}`",
            facts=trouble[:_MOST_FACTS],
            narrative=block(f"`{command}` failed.\n{_tail(output)}"),
            concepts=["gotcha"],
        )
    if commit := _COMMIT.search(command):
        message = commit.group(1) or commit.group(2)
        return DraftObservation(
            type="change",
            title=shorten(f"Commit: {message}", TITLE_LENGTH),
            facts=[shorten(f"Committed: {message}", FACT_LENGTH)],
            narrative=block(message),
            concepts=["what-changed"],
        )
    if install := _INSTALL.search(command):
        return DraftObservation(
            type="change",
            title=shorten(f"Dependencies: {install.group().strip()}", TITLE_LENGTH),
            facts=[f"`{line}` was run"],
            narrative=block(f"`{command}` was run. {purpose}\n{_tail(output, lines=4)}"),
            concepts=["what-changed"],
        )
    if _LOOKING.match(command) or not output:
        return None
    return DraftObservation(
        type="discovery",
        title=shorten(purpose or f"Run {command}", TITLE_LENGTH),
        subtitle=f"`{line}`",
        facts=[shorten(text, FACT_LENGTH) for text in output.splitlines() if text.strip()][:_MOST_FACTS],
        narrative=block(f"`{command}` was run and answered:\n{_tail(output)}"),
        concepts=["how-it-works"],
    )


def _tail(output: str, *, lines: int = 25) -> str:
    return "\n".join(output.splitlines()[-lines:])
