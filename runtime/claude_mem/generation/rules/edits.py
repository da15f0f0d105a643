"""Observations from file edits: one per file, however many edits a batch has of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from claude_mem.generation.port import DraftObservation
from claude_mem.generation.rules.text import (
    FACT_LENGTH,
    TITLE_LENGTH,
    block,
    definitions,
    listing,
    plural,
    shorten,
)

if TYPE_CHECKING:
    from claude_mem.generation.rules.tools import ToolCall

_MOST_FACTS = 12


@dataclass(frozen=True, slots=True)
class _Change:
    """One replacement: what stood there before, and what stands there now."""

    before: str
    after: str


def observe_edits(path: str, calls: Sequence[ToolCall]) -> DraftObservation | None:
    """The observation for all edits of one file; None when every one of them failed."""
    calls = [call for call in calls if not call.failed]
    if not calls:
        return None
    changes = [change for call in calls for change in _changes(call)]
    created = calls[0].kind == "write" and _is_new(calls[0].answered)
    before = {name for change in changes for name in definitions(change.before)}
    after = list(dict.fromkeys(name for change in changes for name in definitions(change.after)))
    added = [name for name in after if name not in before]
    removed = sorted(before - set(after))
    kept = [name for name in after if name in before]
    nature = _nature(added=added, removed=removed, kept=kept)
    verb = "Create" if created else "Write" if calls[0].kind == "write" else "Edit"
    plus = sum(change.after.count("\n") + 1 for change in changes if change.after)
    minus = sum(change.before.count("\n") + 1 for change in changes if change.before)
    facts = [
        *([f"{path} defines {listing(added)}"] if added else []),
        *([f"{path} no longer defines {listing(removed)}"] if removed else []),
        *[fact for change in changes if (fact := _snippet(path, change))],
    ]
    return DraftObservation(
        type="change",
        title=shorten(f"{verb} {path}" + (f": {nature}" if nature else ""), TITLE_LENGTH),
        subtitle=f"{plural(len(calls), 'edit')}, {plural(plus, 'line')} in, {plural(minus, 'line')} out",
        facts=facts[:_MOST_FACTS],
        narrative=_narrative(path, changes, created=created),
        concepts=["what-changed"],
        files_modified=[path],
        source_events=[call.event_id for call in calls],
    )


def _changes(call: ToolCall) -> list[_Change]:
    edits = call.given.get("edits")
    steps: list[Any] = edits if isinstance(edits, list) else [call.given]
    return [
        _Change(
            _word(step, "old_string", "old_str"),
            _word(step, "new_string", "new_str", "content", "new_source", "input"),
        )
        for step in steps
        if isinstance(step, Mapping)
    ]


def _word(step: Mapping[str, Any], *keys: str) -> str:
    return next((value for key in keys if isinstance(value := step.get(key), str)), "")


def _is_new(answered: Any) -> bool:
    if isinstance(answered, Mapping):
        return answered.get("type") == "create"
    return isinstance(answered, str) and "created" in answered.lower()


def _nature(*, added: list[str], removed: list[str], kept: list[str]) -> str:
    if added and removed:
        return f"{listing(added, most=3)} in place of {listing(removed, most=3)}"
    if added:
        return f"add {listing(added, most=3)}"
    if removed:
        return f"remove {listing(removed, most=3)}"
    return f"change {listing(kept, most=3)}" if kept else ""


def _snippet(path: str, change: _Change) -> str | None:
    """A small replacement, said in one line."""
    before, after = change.before.strip(), change.after.strip()
    if not before or len(before) + len(after) > FACT_LENGTH or "\n" in before + after:
        return None
    return f"In {path}, `{before}` became `{after}`" if after else f"In {path}, `{before}` was removed"


def _narrative(path: str, changes: Sequence[_Change], *, created: bool) -> str:
    opening = f"{path} was {'created' if created else 'changed'}."
    lines = [line.strip() for change in changes for line in change.after.splitlines()]
    fresh = [line for line in dict.fromkeys(lines) if len(line) > 3]
    return block("\n".join([f"{opening} It now has:", *fresh]), 1_200) if fresh else opening
