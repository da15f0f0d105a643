"""Rules for what is forgotten with time, and the rows that a rule removes, in batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson

from claude_mem.storage.cursors import Cursor
from claude_mem.storage.database import fetch_one

if TYPE_CHECKING:
    from claude_mem.storage.database import Executor, Row

Subject = Literal["memories", "events", "sessions", "audit"]
SUBJECTS: Final[tuple[Subject, ...]] = ("memories", "events", "sessions", "audit")


@dataclass(frozen=True, slots=True)
class Rule:
    """What is removed, and what is kept.

    Parameters:
        project_id: None is every project of the team that has no rule of its own for the subject.
        kinds: kinds of memories, types of events, or actions of the audit log; None is all. Sessions have none.
        max_age_days: what is younger stays; None is no bound.
        keep_last: so many of each project stay, the newest, however old; at least 1. None is none in particular.
        keep_summaries: summaries of sessions stay.
        last_run_us: when it was last carried out, in microseconds since the epoch.
        last_removed: how many rows that removed.
    """

    id: str
    team_id: str
    project_id: str | None
    subject: Subject
    kinds: tuple[str, ...] | None
    max_age_days: int | None
    keep_last: int | None
    keep_summaries: bool
    created_us: int = 0
    last_run_us: int | None = None
    last_removed: int = 0

    @property
    def is_bound(self) -> bool:
        """Whether it removes anything at all."""
        return self.max_age_days is not None or self.keep_last is not None


def _rule(row: Row) -> Rule:
    return Rule(
        id=row["id"],
        team_id=row["team_id"],
        project_id=row["project_id"],
        subject=row["subject"],
        kinds=None if row["kinds"] is None else tuple(orjson.loads(row["kinds"])),
        max_age_days=row["max_age_days"],
        keep_last=row["keep_last"],
        keep_summaries=bool(row["keep_summaries"]),
        created_us=row["created_at"],
        last_run_us=row["last_run_at"],
        last_removed=row["last_removed"],
    )


async def insert(executor: Executor, rule: Rule, *, now_us: int) -> None:
    """Store a rule; it is due at once.

    Raises: ReferenceViolation when the project or team does not exist.
    """
    await executor.execute(
        "retention.insert",
        id=rule.id,
        team_id=rule.team_id,
        project_id=rule.project_id,
        subject=rule.subject,
        kinds=None if rule.kinds is None else orjson.dumps(rule.kinds).decode(),
        max_age_days=rule.max_age_days,
        keep_last=rule.keep_last,
        keep_summaries=rule.keep_summaries,
        now=now_us,
    )


async def of_team(executor: Executor, team_id: str) -> list[Rule]:
    """A team's rules, oldest first."""
    return [_rule(row) for row in await executor.fetch("retention.of_team", team_id=team_id)]


async def due(executor: Executor, *, now_us: int, limit: int) -> list[Rule]:
    """Rules whose time has come and that nobody carries out."""
    return [_rule(row) for row in await executor.fetch("retention.due", now=now_us, limit=limit)]


async def delete(executor: Executor, rule_id: str, *, team_id: str) -> Rule | None:
    row = await fetch_one(executor, "retention.delete", id=rule_id, team_id=team_id)
    return _rule(row) if row else None


async def claim(executor: Executor, rule_id: str, *, until_us: int, now_us: int) -> bool:
    """Take a rule's turn until that time; False when somebody else has it."""
    return bool(await executor.fetch("retention.claim", id=rule_id, until=until_us, now=now_us))


async def renew(executor: Executor, rule_id: str, *, held_us: int, until_us: int) -> bool:
    """Keep the turn that lasted until `held_us`; False when it was lost, or the rule is gone."""
    return bool(await executor.fetch("retention.renew", id=rule_id, held=held_us, until=until_us))


async def finish(
    executor: Executor, rule_id: str, *, held_us: int, next_us: int, removed: int, now_us: int
) -> None:
    """Give the turn back."""
    await executor.execute(
        "retention.finish", id=rule_id, held=held_us, next_run_at=next_us, removed=removed, now=now_us
    )


def _scope(rule: Rule, project_id: str) -> dict[str, Any]:
    scope: dict[str, Any] = {"team_id": rule.team_id, "project_id": project_id}
    if rule.subject != "sessions":
        scope["kinds"] = None if rule.kinds is None else list(rule.kinds)
    return scope | ({"keep_summaries": rule.keep_summaries} if rule.subject == "memories" else {})


async def last_kept(executor: Executor, rule: Rule, project_id: str) -> Cursor | None:
    """The oldest row that is kept for its rank; None when there are no more rows than are kept."""
    row = await fetch_one(
        executor,
        f"retention.last_{rule.subject}",
        **_scope(rule, project_id),
        offset=(rule.keep_last or 1) - 1,
    )
    return Cursor(row["at"], row["id"]) if row else None


async def count(executor: Executor, rule: Rule, project_id: str, *, before: Cursor) -> tuple[int, int | None]:
    """How many rows go, and when the oldest was made, in microseconds since the epoch."""
    row = (
        await executor.fetch(
            f"retention.count_{rule.subject}",
            **_scope(rule, project_id),
            before_at=before.at_us,
            before_id=before.id,
        )
    )[0]
    return row["count"], row["oldest"]


async def remove(executor: Executor, rule: Rule, project_id: str, *, before: Cursor, limit: int) -> int:
    """Remove the oldest rows, so many at most."""
    chosen = _scope(rule, project_id) | {"before_at": before.at_us, "before_id": before.id, "limit": limit}
    if rule.subject != "sessions":
        return await executor.execute(f"retention.remove_{rule.subject}", **chosen)
    ids = [row["id"] for row in await executor.fetch("retention.hold_sessions", **chosen)]
    await executor.execute("retention.remove_jobs_of_sessions", ids=ids)
    return await executor.execute("retention.remove_sessions", ids=ids)
