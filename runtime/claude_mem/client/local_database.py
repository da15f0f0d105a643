"""The SQLite database of a local claude-mem, read as the records of an export, a session at a time.

What becomes of a row is in `local_records`. Columns that an older claude-mem lacks, or names otherwise, are made up for.
The file is only read.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from claude_mem.client import local_records as records

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from claude_mem.client.local_records import Record, Row

HEADER: Final = {"type": "header", "format": "claude-mem-export", "version": 1}

_TABLES: Final = ("sdk_sessions", "observations", "session_summaries", "user_prompts")


class NotALocalDatabaseError(Exception):
    """Raised when a file is no database of a local claude-mem."""


@dataclass(slots=True)
class Found:
    """What was read.

    Parameters:
        counts: rows by project and kind.
        skipped: rows with no text to remember, and prompts whose session is gone, which nothing ties to a project.
    """

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    skipped: int = 0

    def count(self, project: str, kind: str) -> None:
        """Count a row."""
        self.counts.setdefault(project, Counter())[kind] += 1


class LocalDatabase:
    """One file.

    Parameters:
        projects: names of the only projects to read; empty reads all.
    """

    def __init__(self, path: Path, *, projects: Collection[str] = ()) -> None:
        self._path = path
        self._wanted = frozenset(projects)
        self.found = Found()

    def groups(self) -> Iterator[list[Record]]:
        """First the projects, then each session with its prompts, observations and summaries, then what has no session.

        Raises: NotALocalDatabaseError.
        """
        self.found = Found()
        try:
            with closing(sqlite3.connect(f"file:{quote(str(self._path))}?mode=ro", uri=True)) as connection:
                connection.row_factory = sqlite3.Row
                yield from self._read(connection)
        except sqlite3.DatabaseError as error:
            raise NotALocalDatabaseError(
                f"{self._path} is no database of claude-mem, or cannot be read ({error})"
            ) from error

    def _read(self, connection: sqlite3.Connection) -> Iterator[list[Record]]:
        present = {
            row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        if not {"sdk_sessions", "observations"} <= present:
            raise NotALocalDatabaseError(f"{self._path} has no tables of a local claude-mem")
        tables = [table for table in _TABLES if table in present]
        names = {name for table in tables if table != "user_prompts" for name in _projects(connection, table)}
        yield [
            {"type": "project", "id": records.record_id("project", name), "name": name}
            for name in sorted(names)
            if self._reads(name)
        ]
        seen: set[str] = set()
        for row in _rows(connection, "SELECT * FROM sdk_sessions ORDER BY id"):
            memory_id = row.get("memory_session_id")
            if memory_id:
                seen.add(memory_id)
            if self._reads(records.project_of(row)):
                yield list(self._session(connection, row, tables))
            elif memory_id:
                # Memories of it may have been taken over by a project that is read.
                yield list(self._memories(connection, tables, memory_id, None))
        yield from self._orphans(connection, tables, seen)

    def _reads(self, project: str) -> bool:
        return not self._wanted or project in self._wanted

    def _session(self, connection: sqlite3.Connection, row: Row, tables: list[str]) -> Iterator[Record]:
        session = records.session(row)
        self.found.count(records.project_of(row), "sessions")
        yield session
        content_id = row["content_session_id"]
        if "user_prompts" in tables:
            column = _column(connection, "user_prompts", "content_session_id", "claude_session_id")
            for prompt in _rows(
                connection,
                f"SELECT * FROM user_prompts WHERE {column} = ? ORDER BY id",  # noqa: S608 - a name of ours
                content_id,
            ):
                self.found.count(records.project_of(row), "prompts")
                yield records.prompt(prompt, session)
        memory_id = row.get("memory_session_id")
        if memory_id:
            yield from self._memories(connection, tables, memory_id, session)

    def _memories(
        self, connection: sqlite3.Connection, tables: list[str], memory_id: str, session: Record | None
    ) -> Iterator[Record]:
        for table, read, kind in (
            ("observations", records.observation, "observations"),
            ("session_summaries", records.summary, "summaries"),
        ):
            if table not in tables:
                continue
            column = _column(connection, table, "memory_session_id", "sdk_session_id")
            statement = f"SELECT * FROM {table} WHERE {column} = ? ORDER BY id"  # noqa: S608 - names of ours
            for row in _rows(connection, statement, memory_id):
                if not self._reads(records.project_of(row)):
                    continue
                record = read(row, session)
                if record["content"].strip():
                    self.found.count(records.project_of(row), kind)
                    yield record
                else:
                    self.found.skipped += 1

    def _orphans(
        self, connection: sqlite3.Connection, tables: list[str], seen: set[str]
    ) -> Iterator[list[Record]]:
        """Memories whose session is gone; prompts of such sessions are counted."""
        ids: set[str] = set()
        for table in ("observations", "session_summaries"):
            if table in tables:
                column = _column(connection, table, "memory_session_id", "sdk_session_id")
                found = connection.execute(f"SELECT DISTINCT {column} FROM {table}")  # noqa: S608 - names of ours
                ids |= {row[0] for row in found}
        for memory_id in sorted(ids - seen):
            yield list(self._memories(connection, tables, memory_id, None))
        if "user_prompts" in tables and self._reads(records.UNKNOWN):
            column = _column(connection, "user_prompts", "content_session_id", "claude_session_id")
            of_session = _column(connection, "sdk_sessions", "content_session_id", "claude_session_id")
            statement = f"SELECT count(*) FROM user_prompts WHERE {column} NOT IN (SELECT {of_session} FROM sdk_sessions)"  # noqa: S608 - names of ours
            self.found.skipped += connection.execute(statement).fetchone()[0]


def _rows(connection: sqlite3.Connection, statement: str, *given: str) -> Iterator[Row]:
    for found in connection.execute(statement, given):
        row = dict(found)
        row.setdefault("content_session_id", row.get("claude_session_id"))
        row.setdefault("memory_session_id", row.get("sdk_session_id"))
        yield row


def _projects(connection: sqlite3.Connection, table: str) -> set[str]:
    columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    chosen = ", ".join(sorted(columns & {"project", "merged_into_project"}))
    return {records.project_of(row) for row in _rows(connection, f"SELECT DISTINCT {chosen} FROM {table}")}  # noqa: S608 - names of ours


def _column(connection: sqlite3.Connection, table: str, name: str, older: str) -> str:
    columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    return name if name in columns else older
