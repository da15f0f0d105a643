"""Shapes of answers about retention."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from claude_mem.http.responses.base import Epoch, Shape

Subject = Literal["memories", "events", "sessions", "audit"]


class Rule(Shape):
    """What is forgotten with time."""

    id: str
    projectId: Annotated[
        str | None, Field(description="Null is every project without a rule of its own for the subject.")
    ]
    subject: Subject
    kinds: Annotated[list[str] | None, Field(description="Null is all.")]
    maxAgeDays: Annotated[int | None, Field(description="What is younger stays.")]
    keepLast: Annotated[int | None, Field(description="So many of each project stay, however old.")]
    keepSummaries: bool
    createdAtEpoch: Epoch
    lastRunAtEpoch: Epoch | None
    lastRemoved: Annotated[int, Field(description="Rows that the last run removed.")]


class Rules(Shape):
    """The team's rules, oldest first."""

    rules: list[Rule]


class RuleAdded(Shape):
    """A rule that is in force."""

    rule: Rule


class RuleRemoved(Shape):
    """A rule that is no more."""

    deleted: Literal[True]
    id: str


class Removal(Shape):
    """What a rule would remove from a project."""

    ruleId: str
    projectId: str
    subject: Subject
    count: int
    oldestAtEpoch: Epoch | None


class Preview(Shape):
    """What the rules would remove now."""

    removals: list[Removal]
