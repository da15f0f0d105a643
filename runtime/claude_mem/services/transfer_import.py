"""Imports: lines of an export become what they were, in this team. Nothing is generated from them.

Lines are stored in batches, each a transaction with its line of the audit log, and what is there already is left as it is.
So an import that broke off is sent again and goes on where it was. All or nothing, and trying, are one transaction over the
whole file, which is therefore kept until then: `transfer_spool`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from claude_mem.model.errors import InvalidInput, Issue
from claude_mem.model.times import now_us
from claude_mem.services.refusals import refusal
from claude_mem.services.transfer_format import (
    CheckpointLine,
    EndLine,
    HeaderLine,
    ProjectLine,
    check_header,
)
from claude_mem.services.transfer_lines import BadLine, Item, cut, prepare, read
from claude_mem.services.transfer_projects import Projects
from claude_mem.services.transfer_rows import Batch, Outcome
from claude_mem.services.transfer_spool import SpoolRoom
from claude_mem.storage import audit, tenancy
from claude_mem.storage.database import ReferenceViolation, StorageError, ValueRefused, run_transaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from claude_mem.model.records import AuditEntry
    from claude_mem.services.transfer_spool import Spool
    from claude_mem.storage.database import Database, Executor

#: Lines of a batch at most, and bytes after which one is stored.
BATCH_LINES: Final = 500
BATCH_BYTES: Final = 4 * 1024 * 1024

#: Bad lines that an answer names; the rest is counted.
NAMED_LINES: Final = 100


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that was not taken in.

    Parameters:
        number: from 1.
        message: why, without the line's text.
    """

    number: int
    message: str


@dataclass(slots=True)
class Imported:
    """What became of an import.

    Parameters:
        refused: the first bad lines; `bad_lines` counts all.
        complete: the export's last line was there.
    """

    outcome: Outcome = field(default_factory=Outcome)
    refused: list[Refused] = field(default_factory=list)
    bad_lines: int = 0
    lines: int = 0
    complete: bool = False

    def refuse(self, number: int, message: str) -> None:
        """Note a bad line."""
        self.bad_lines += 1
        if len(self.refused) < NAMED_LINES:
            self.refused.append(Refused(number, message))


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an import goes.

    Parameters:
        project_id: takes in the lines of all projects; None finds a project for each, by its id or else its name, and
            makes those that are missing.
        entry: makes a line of the audit log: an action, a project, and details.
    """

    team_id: str
    project_id: str | None
    entry: Callable[[str, str, dict[str, object]], AuditEntry]


class Undo(Exception):
    """Raised to end a transaction whose result was only looked at."""


class Importer:
    """Takes in one export.

    Parameters:
        strict: a bad line refuses the whole import.
        dry_run: say what would become of it, and change nothing.
        room: where either keeps the whole upload; None is without bound.
    """

    def __init__(
        self,
        database: Database,
        destination: Destination,
        *,
        strict: bool = False,
        dry_run: bool = False,
        room: SpoolRoom | None = None,
    ) -> None:
        self._database = database
        self._to = destination
        self._strict = strict
        self._dry_run = dry_run
        self._room = room or SpoolRoom()
        self._header: HeaderLine | None = None
        self._result = Imported()
        self._projects = Projects(destination.team_id, destination.project_id)

    async def run(self, chunks: AsyncIterator[bytes]) -> Imported:
        """Read lines until they end.

        Raises: InvalidInput when this is no export, or a line of a strict one is bad; PayloadTooLarge, Forbidden,
            Unavailable.
        """
        if not (self._strict or self._dry_run):
            async for batch in self._batches(chunks):
                await self._commit(batch)
            self._check_header_came()
            return self._result
        with self._room.spool() as kept:
            await kept.keep(chunks)
            return await self._at_once(kept)

    async def _at_once(self, kept: Spool) -> Imported:
        if self._strict:
            # Looked through first, so that a bad line is told before anything waits for a transaction.
            async for _ in self._batches(kept.read()):
                pass
            self._check_strict()
            self._check_header_came()
            self._header, self._result = None, Imported()
        try:
            async with self._database.transaction() as transaction:
                async for batch in self._batches(kept.read()):
                    await self._store(transaction, batch, self._result.outcome)
                self._check_header_came()
                self._check_strict()
                self._end_dry_run()
        except Undo:
            pass
        except StorageError as error:
            raise refusal(error) from error
        return self._result

    def _end_dry_run(self) -> None:
        if self._dry_run:
            raise Undo

    async def _batches(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[list[Item]]:
        batch: list[Item] = []
        size = 0
        async for number, raw in cut(chunks):
            self._result.lines += 1
            try:
                item = self._item(number, raw)
            except BadLine as error:
                self._result.refuse(number, str(error))
                continue
            if item is None:
                continue
            batch.append(item)
            size += item.size
            if len(batch) >= BATCH_LINES or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _item(self, number: int, raw: bytes | None) -> Item | None:
        """What is to be stored of a line, if anything."""
        if self._header is None:
            try:
                self._header = check_header(read(raw))
            except BadLine as error:
                raise InvalidInput(f"line {number} is not the header of an export: {error}") from error
            return None
        line = read(raw)
        if isinstance(line, EndLine):
            self._result.complete = True
        if isinstance(line, HeaderLine | CheckpointLine | EndLine):
            return None
        return prepare(number, line, size=len(raw or b""))

    def _check_header_came(self) -> None:
        if self._header is None:
            raise InvalidInput("the import is empty: its first line has to be the header of an export")

    def _check_strict(self) -> None:
        if self._strict and self._result.bad_lines:
            issues = tuple(
                Issue("custom", ("lines", refused.number), refused.message)
                for refused in self._result.refused
            )
            raise InvalidInput(
                f"{self._result.bad_lines} lines cannot be taken in, so nothing was imported", issues
            )

    async def _commit(self, batch: Sequence[Item]) -> None:
        """Store a batch in a transaction of its own; what the database refuses of it is found by halving."""

        async def work(transaction: Executor) -> tuple[Outcome, Projects, Imported]:
            # Begun anew each time, for a transaction that lost is run again.
            outcome, told = Outcome(), Imported()
            projects = self._projects.copy()
            await self._store_with(transaction, batch, outcome, projects=projects, told=told)
            return outcome, projects, told

        try:
            outcome, projects, told = await run_transaction(self._database, work)
        except (ValueRefused, ReferenceViolation) as error:
            if len(batch) == 1:
                self._result.refuse(batch[0].number, refusal(error).message)
                return
            middle = len(batch) // 2
            await self._commit(batch[:middle])
            await self._commit(batch[middle:])
            return
        except StorageError as error:
            raise refusal(error) from error
        self._projects = projects
        self._result.outcome.add(outcome)
        for refused in told.refused:
            self._result.refuse(refused.number, refused.message)

    async def _store(self, executor: Executor, batch: Sequence[Item], outcome: Outcome) -> None:
        await self._store_with(executor, batch, outcome, projects=self._projects, told=self._result)

    async def _store_with(
        self,
        executor: Executor,
        batch: Sequence[Item],
        outcome: Outcome,
        *,
        projects: Projects,
        told: Imported,
    ) -> None:
        found: dict[str, list[Item]] = {}
        for item in batch:
            try:
                project_id = await projects.place(executor, item, outcome)
            except BadLine as error:
                told.refuse(item.number, str(error))
                continue
            if not isinstance(item.line, ProjectLine):
                found.setdefault(project_id, []).append(item)
        created = [self._to.entry("project.create", made, {"name": name}) for made, name in projects.made()]
        await audit.append(executor, created, now_us=now_us())
        await tenancy.lock_shared(executor, set(found))
        for project_id, items in sorted(found.items()):
            mine = Outcome()
            await Batch(
                executor=executor,
                team_id=self._to.team_id,
                project_id=project_id,
                source_team_id=self._header.team_id if self._header else None,
                merged=self._result.outcome.merged | outcome.merged,
                outcome=mine,
            ).store(items)
            outcome.add(mine)
            details: dict[str, object] = {
                "imported": dict(mine.stored),
                "duplicates": dict(mine.duplicates),
                "lines": [items[0].number, items[-1].number],
            }
            entry = self._to.entry("project.imported", project_id, details)
            await audit.append(executor, [entry], now_us=now_us())
