"""Retention: rules of a team say what is forgotten with time, and a guarded step carries them out in small batches.

A rule has one holder at a time, whichever server or command that is. Each batch is a transaction with its line of the audit
log, in which the holder proves that the turn is still its own.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from claude_mem.model.errors import InvalidInput, NotFound, Unavailable
from claude_mem.model.records import AuditEntry
from claude_mem.model.times import MIN_POSTGRES_MS, now_us
from claude_mem.services.periods import DAY_US
from claude_mem.services.refusals import refuse_storage_errors
from claude_mem.services.retention_rules import check, told
from claude_mem.services.scope import require_project
from claude_mem.storage import audit, retention, tenancy
from claude_mem.storage.cursors import Cursor
from claude_mem.storage.database import run_transaction

if TYPE_CHECKING:
    from claude_mem.services.context import RequestContext
    from claude_mem.storage.database import Database, Executor
    from claude_mem.storage.retention import Rule

logger = logging.getLogger(__name__)

#: What only an administrator may do here, as a refusal says it.
CHANGES_RULES: Final = "change retention rules"

ACTOR: Final = "system:retention"

#: Rows of a batch at most, and seconds between batches, in which others have the database.
BATCH: Final = 500
PAUSE_S: Final = 0.05

#: Seconds between looks for rules that are due, and microseconds from a rule's end to its next turn.
LOOK_S: Final = 60.0
EVERY_US: Final = 3_600_000_000

#: Microseconds for which a turn lasts; each batch renews it.
TURN_US: Final = 60_000_000

#: Rules of a team at most.
MOST_RULES: Final = 100

_DUE_AT_ONCE: Final = 20
_PROJECTS: Final = 200


@dataclass(frozen=True, slots=True)
class Removal:
    """What a rule removes from a project.

    Parameters:
        oldest_us: when the oldest of it was made, in microseconds since the epoch; None where nothing is.
    """

    rule_id: str
    project_id: str
    subject: str
    count: int
    oldest_us: int | None = None


class RetentionService:
    """Keeps rules, foretells what they remove, and carries them out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rules(self, context: RequestContext) -> list[Rule]:
        """The team's rules; a project's key sees those that concern its project."""
        found = await retention.of_team(self._database, context.team_id)
        return [rule for rule in found if rule.project_id is None or context.sees_project(rule.project_id)]

    async def put(self, context: RequestContext, rule: Rule) -> Rule:
        """Add a rule to the caller's team, for a team-wide key of an administrator.

        Raises: Forbidden, InvalidInput.
        """
        team_id = context.require_administrator(CHANGES_RULES)
        if rule.project_id is not None:
            await require_project(self._database, context, project_id=rule.project_id)
        rule = replace(rule, team_id=team_id)
        entry = context.audit(
            "retention.set", "retention", resource_id=rule.id, project_id=rule.project_id, **told(rule)
        )
        return await self.add(rule, entry)

    async def add(self, rule: Rule, entry: AuditEntry) -> Rule:
        """Store a rule with its line of the audit log.

        Raises: InvalidInput.
        """
        check(rule)

        async def store(transaction: Executor) -> Rule:
            now = now_us()
            if len(await retention.of_team(transaction, rule.team_id)) >= MOST_RULES:
                raise InvalidInput(f"a team has at most {MOST_RULES} retention rules: remove one first")
            await retention.insert(transaction, rule, now_us=now)
            await audit.append(transaction, [entry], now_us=now)
            return replace(rule, created_us=now)

        with refuse_storage_errors():
            return await run_transaction(self._database, store)

    async def remove(self, context: RequestContext, rule_id: str) -> None:
        """Raises: Forbidden, NotFound."""
        team_id = context.require_administrator(CHANGES_RULES)
        entry = context.audit("retention.remove", "retention", resource_id=rule_id, project_id=None)
        await self.drop(rule_id, team_id=team_id, entry=entry)

    async def drop(self, rule_id: str, *, team_id: str, entry: AuditEntry) -> None:
        """Delete a rule with a line of the audit log. What it removed stays removed.

        Raises: NotFound.
        """

        async def store(transaction: Executor) -> None:
            gone = await retention.delete(transaction, rule_id, team_id=team_id)
            if gone is None:
                raise NotFound("Retention rule not found")
            await audit.append(transaction, [replace(entry, project_id=gone.project_id)], now_us=now_us())

        with refuse_storage_errors():
            await run_transaction(self._database, store)

    async def preview(self, team_id: str, *, project_id: str | None = None) -> list[Removal]:
        """What the team's rules would remove now; only of one project, where one is given."""
        found = []
        with refuse_storage_errors():
            rules = await retention.of_team(self._database, team_id)
            for rule in rules:
                for project in await self._projects(rule, rules):
                    before = await self._before(rule, project) if project_id in {None, project} else None
                    if before is not None:
                        count, oldest = await retention.count(self._database, rule, project, before=before)
                        found.append(Removal(rule.id, project, rule.subject, count, oldest))
        return found

    async def run_due(self) -> list[Removal]:
        """Carry out the rules whose time has come and that nobody else has.

        One that fails is tried again when its turn is over, and keeps no other from its own.

        Raises: Unavailable, StorageError.
        """
        removed: list[Removal] = []
        for rule in await retention.due(self._database, now_us=now_us(), limit=_DUE_AT_ONCE):
            try:
                removed += await self.carry_out(rule) or ()
            except Unavailable:
                raise
            except Exception as error:
                logger.warning(
                    "a retention rule was not carried out and waits",
                    extra={"ruleId": rule.id, "reason": type(error).__name__},
                )
        return removed

    async def carry_out(self, rule: Rule) -> list[Removal] | None:
        """Carry a rule out now; None when somebody else does.

        Raises: Unavailable, StorageError.
        """
        now = now_us()
        turn = _Turn(rule, now + TURN_US)
        if not await retention.claim(self._database, rule.id, until_us=turn.held_us, now_us=now):
            return None
        removed = []
        rules = await retention.of_team(self._database, rule.team_id)
        for project_id in await self._projects(rule, rules):
            before = await self._before(rule, project_id)
            count = await self._clear(turn, project_id, before) if before is not None else 0
            if count:
                removed.append(Removal(rule.id, project_id, rule.subject, count))
        now = now_us()
        await retention.finish(
            self._database,
            rule.id,
            held_us=turn.held_us,
            next_us=now + EVERY_US,
            removed=sum(removal.count for removal in removed),
            now_us=now,
        )
        return removed

    async def _clear(self, turn: _Turn, project_id: str, before: Cursor) -> int:
        total = 0
        while True:
            until = now_us() + TURN_US

            async def batch(transaction: Executor, until: int = until) -> int:
                held = await retention.renew(transaction, turn.rule.id, held_us=turn.held_us, until_us=until)
                if not held:
                    return -1
                count = await retention.remove(transaction, turn.rule, project_id, before=before, limit=BATCH)
                if count:
                    entry = _applied(turn.rule, project_id, count)
                    await audit.append(transaction, [entry], now_us=now_us())
                return count

            count = await run_transaction(self._database, batch)
            if count < 0:
                logger.info("a retention rule's turn was lost", extra={"ruleId": turn.rule.id})
                return total
            turn.held_us = until
            total += count
            if count < BATCH:
                return total
            await asyncio.sleep(PAUSE_S)

    async def _projects(self, rule: Rule, rules: list[Rule]) -> list[str]:
        """Where a rule applies: a project's own rules for a subject take the place of the team's."""
        if not rule.is_bound:
            return []
        if rule.project_id is not None:
            return [rule.project_id]
        own = {other.project_id for other in rules if other.subject == rule.subject}
        found: list[str] = []
        after: Cursor | None = None
        while True:
            page = await tenancy.list_projects(
                self._database, team_id=rule.team_id, project_id=None, after=after, limit=_PROJECTS
            )
            found += [row["id"] for row in page if row["id"] not in own]
            if len(page) < _PROJECTS:
                return found
            after = Cursor(page[-1]["created_at"], page[-1]["id"])

    async def _before(self, rule: Rule, project_id: str) -> Cursor | None:
        """What lies before this goes; None where nothing does."""
        oldest = Cursor(MIN_POSTGRES_MS * 1000, "")
        bounds = []
        if rule.max_age_days is not None:
            bounds.append(Cursor(max(now_us() - rule.max_age_days * DAY_US, oldest.at_us), ""))
        if rule.keep_last is not None:
            kept = await retention.last_kept(self._database, rule, project_id)
            if kept is None:
                return None
            bounds.append(kept)
        return min(bounds, key=lambda bound: (bound.at_us, bound.id))


@dataclass(slots=True)
class _Turn:
    """A rule that is being carried out, and until when it is ours."""

    rule: Rule
    held_us: int


async def keep_running(service: RetentionService) -> None:
    """Carry rules out as their time comes, again and again."""
    while True:
        try:
            for removal in await service.run_due():
                logger.info(
                    "a retention rule removed rows",
                    extra={"ruleId": removal.rule_id, "subject": removal.subject, "count": removal.count},
                )
        except Exception as error:
            # Whatever it is, the server goes on.
            logger.warning("retention rules were not carried out", extra={"reason": type(error).__name__})
        await asyncio.sleep(LOOK_S)


def _applied(rule: Rule, project_id: str, count: int) -> AuditEntry:
    return AuditEntry(
        action="retention.applied",
        resource_type="retention",
        resource_id=rule.id,
        team_id=rule.team_id,
        project_id=project_id,
        actor_id=ACTOR,
        api_key_id=None,
        details={"subject": rule.subject, "removed": count},
    )
