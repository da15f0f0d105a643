"""The SQLite database of a local claude-mem, read as the records of an export, a session at a time.

Ids follow from the database's own, so that reading it again gives the same records, and what is there already is not added
twice. Columns that an older claude-mem lacks, or names otherwise, are made up for. The file is only read.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

HEADER: Final = {"type": "header", "format": "claude-mem-export", "version": 1}
PROVIDER: Final = "claude-mem-local"

_NAMES: Final = uuid.UUID("0c6d7d0e-3c1b-5e0a-8f53-3f6f5f0f9b52")
_SUMMARY: Final = ("request", "investigated", "learned", "completed", "next_steps", "notes")
_LISTS: Final = ("facts", "concepts", "files_read", "files_modified", "files_edited")
_TABLES: Final = ("sdk_sessions", "observations", "session_summaries", "user_prompts")

Record = dict[str, Any]
Row = dict[str, Any]


class NotALocalDatabaseError(Exception):
    """Raised when a file is no database of a local claude-mem."""


@dataclass(slots=True)
class Found:
    """What was read.

    Parameters:
        counts: rows by project and kind.
        skipped: rows with no text to remember.
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
            {"type": "project", "id": _id("project", name), "name": name}
            for name in sorted(names)
            if self._reads(name)
        ]
        seen: set[str] = set()
        for row in _rows(connection, "SELECT * FROM sdk_sessions ORDER BY id"):
            memory_id = row.get("memory_session_id")
            if memory_id:
                seen.add(memory_id)
            if self._reads(_project(row)):
                yield list(self._session(connection, row, tables))
            elif memory_id:
                # Memories of it may have been taken over by a project that is read.
                yield list(self._memories(connection, tables, memory_id, None))
        yield from self._orphans(connection, tables, seen)

    def _reads(self, project: str) -> bool:
        return not self._wanted or project in self._wanted

    def _session(self, connection: sqlite3.Connection, row: Row, tables: list[str]) -> Iterator[Record]:
        session = _session(row)
        self.found.count(_project(row), "sessions")
        yield session
        content_id = row["content_session_id"]
        if "user_prompts" in tables:
            column = _column(connection, "user_prompts", "content_session_id", "claude_session_id")
            for prompt in _rows(
                connection,
                f"SELECT * FROM user_prompts WHERE {column} = ? ORDER BY id",  # noqa: S608 - a name of ours
                content_id,
            ):
                self.found.count(_project(row), "prompts")
                yield _prompt(prompt, session)
        memory_id = row.get("memory_session_id")
        if memory_id:
            yield from self._memories(connection, tables, memory_id, session)

    def _memories(
        self, connection: sqlite3.Connection, tables: list[str], memory_id: str, session: Record | None
    ) -> Iterator[Record]:
        for table, read, kind in (
            ("observations", _observation, "observations"),
            ("session_summaries", _summary, "summaries"),
        ):
            if table not in tables:
                continue
            column = _column(connection, table, "memory_session_id", "sdk_session_id")
            statement = f"SELECT * FROM {table} WHERE {column} = ? ORDER BY id"  # noqa: S608 - names of ours
            for row in _rows(connection, statement, memory_id):
                if not self._reads(_project(row)):
                    continue
                record = read(row, session)
                if record["content"].strip():
                    self.found.count(_project(row), kind)
                    yield record
                else:
                    self.found.skipped += 1

    def _orphans(
        self, connection: sqlite3.Connection, tables: list[str], seen: set[str]
    ) -> Iterator[list[Record]]:
        """Memories whose session is gone."""
        ids: set[str] = set()
        for table in ("observations", "session_summaries"):
            if table in tables:
                column = _column(connection, table, "memory_session_id", "sdk_session_id")
                found = connection.execute(f"SELECT DISTINCT {column} FROM {table}")  # noqa: S608 - names of ours
                ids |= {row[0] for row in found}
        for memory_id in sorted(ids - seen):
            yield list(self._memories(connection, tables, memory_id, None))


def _rows(connection: sqlite3.Connection, statement: str, *given: str) -> Iterator[Row]:
    for found in connection.execute(statement, given):
        row = dict(found)
        row.setdefault("content_session_id", row.get("claude_session_id"))
        row.setdefault("memory_session_id", row.get("sdk_session_id"))
        yield row


def _projects(connection: sqlite3.Connection, table: str) -> set[str]:
    columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    chosen = ", ".join(sorted(columns & {"project", "merged_into_project"}))
    return {_project(row) for row in _rows(connection, f"SELECT DISTINCT {chosen} FROM {table}")}  # noqa: S608 - names of ours


def _column(connection: sqlite3.Connection, table: str, name: str, older: str) -> str:
    columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    return name if name in columns else older


def _project(row: Row) -> str:
    """A worktree's rows that were taken over by its repository belong there."""
    return str(row.get("merged_into_project") or row.get("project") or "unknown")


def _id(kind: str, *parts: object) -> str:
    return str(uuid.uuid5(_NAMES, json.dumps([kind, *map(str, parts)])))


def _us(row: Row, name: str) -> int:
    """A time in microseconds since the epoch; columns hold milliseconds, in early versions seconds."""
    value = int(row.get(name) or 0)
    return value * 1000 if abs(value) >= 100_000_000_000 else value * 1_000_000


def _session(row: Row) -> Record:
    started = _us(row, "started_at_epoch")
    ended = _us(row, "completed_at_epoch") if row.get("completed_at_epoch") else None
    metadata = {"source": PROVIDER, "prompt": row.get("user_prompt"), "title": row.get("custom_title")}
    return {
        "type": "session",
        "id": _id("session", row["content_session_id"]),
        "projectId": _id("project", _project(row)),
        "externalSessionId": row["content_session_id"],
        "contentSessionId": row["content_session_id"],
        # The server computes the key that its own hooks would give the session.
        "idempotencyKey": PROVIDER,
        "platformSource": row.get("platform_source") or "claude",
        "generationStatus": "completed" if row.get("status") == "completed" else "idle",
        "metadata": {name: value for name, value in metadata.items() if value},
        "startedAtUs": started,
        "endedAtUs": ended,
        "createdAtUs": started,
        "updatedAtUs": ended or started,
    }


def _prompt(row: Row, session: Record) -> Record:
    at = _us(row, "created_at_epoch")
    content_id, number = row["content_session_id"], row.get("prompt_number")
    return {
        "type": "event",
        "id": _id("prompt", content_id, number, at),
        "projectId": session["projectId"],
        "serverSessionId": session["id"],
        "contentSessionId": content_id,
        "sourceAdapter": "api",
        "eventType": "user_prompt",
        "platformSource": session["platformSource"],
        "payload": {"prompt": row.get("prompt_text") or "", "promptNumber": number},
        "metadata": {"source": PROVIDER},
        "occurredAtUs": at,
        "receivedAtUs": at,
        "createdAtUs": at,
    }


def _observation(row: Row, session: Record | None) -> Record:
    parts = {name: row.get(name) for name in ("title", "subtitle", "narrative")}
    lists = {name: _list(row.get(name)) for name in _LISTS if row.get(name)}
    bullets = "\n".join(f"- {fact}" for fact in lists.get("facts", []))
    texts = [*parts.values(), bullets]
    content = "\n\n".join(str(text) for text in texts if text) or str(row.get("text") or "")
    return _memory(
        row,
        session,
        kind=str(row.get("type") or "observation"),
        content=content,
        metadata={name: value for name, value in parts.items() if value} | lists,
    )


def _summary(row: Row, session: Record | None) -> Record:
    parts = {name: row.get(name) for name in _SUMMARY if row.get(name)}
    lines = [f"{name.replace('_', ' ').capitalize()}: {text}" for name, text in parts.items()]
    lists = {name: _list(row.get(name)) for name in _LISTS if row.get(name)}
    record = _memory(row, session, kind="summary", content="\n\n".join(lines), metadata=parts | lists)
    if session is not None:
        source = {"type": "session_summary", "id": session["id"], "createdAtUs": record["createdAtUs"]}
        record["sources"] = [source]
    return record


def _memory(row: Row, session: Record | None, *, kind: str, content: str, metadata: dict[str, Any]) -> Record:
    at = _us(row, "created_at_epoch")
    about = {
        "provider": PROVIDER,
        "model": row.get("generated_by_model"),
        "promptNumber": row.get("prompt_number"),
    }
    table = "summary" if kind == "summary" else "observation"
    return {
        "type": "observation",
        "id": _id(table, row.get("memory_session_id"), row["id"], at),
        "projectId": _id("project", _project(row)),
        "serverSessionId": session["id"] if session else None,
        "kind": kind,
        "content": content,
        "metadata": metadata | {name: value for name, value in about.items() if value is not None},
        "createdAtUs": at,
        "updatedAtUs": at,
    }


def _list(value: Any) -> list[Any]:
    """A list that is stored as JSON; other text is one entry."""
    try:
        found = json.loads(value)
    except (TypeError, ValueError):
        return [value]
    return found if isinstance(found, list) else [found]
