"""A database as a local claude-mem leaves it: schema 35 of its migrations, or with the names of its first versions."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

SECRET = "xyzzy"
START = 1_760_000_000_000

_COMMON = "created_at TEXT NOT NULL, created_at_epoch INTEGER NOT NULL"
_SCHEMA = f"""
CREATE TABLE schema_versions (id INTEGER PRIMARY KEY, version INTEGER UNIQUE NOT NULL, applied_at TEXT NOT NULL);
CREATE TABLE sdk_sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, content_session_id TEXT UNIQUE NOT NULL, memory_session_id TEXT UNIQUE,
    project TEXT NOT NULL, platform_source TEXT NOT NULL DEFAULT 'claude', user_prompt TEXT, started_at TEXT NOT NULL,
    started_at_epoch INTEGER NOT NULL, completed_at TEXT, completed_at_epoch INTEGER, status TEXT NOT NULL DEFAULT 'active',
    worker_port INTEGER, prompt_counter INTEGER DEFAULT 0, custom_title TEXT);
CREATE TABLE observations (
    id INTEGER PRIMARY KEY AUTOINCREMENT, memory_session_id TEXT NOT NULL, project TEXT NOT NULL, text TEXT,
    type TEXT NOT NULL, title TEXT, subtitle TEXT, facts TEXT, narrative TEXT, concepts TEXT, files_read TEXT,
    files_modified TEXT, prompt_number INTEGER, discovery_tokens INTEGER DEFAULT 0, content_hash TEXT,
    merged_into_project TEXT, generated_by_model TEXT, metadata TEXT, {_COMMON});
CREATE TABLE session_summaries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, memory_session_id TEXT NOT NULL, project TEXT NOT NULL, request TEXT,
    investigated TEXT, learned TEXT, completed TEXT, next_steps TEXT, files_read TEXT, files_edited TEXT, notes TEXT,
    prompt_number INTEGER, merged_into_project TEXT, {_COMMON});
CREATE TABLE user_prompts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, content_session_id TEXT NOT NULL, prompt_number INTEGER NOT NULL,
    prompt_text TEXT NOT NULL, {_COMMON});
"""


def make_local_database(path: Path, *, early: bool = False) -> Path:
    """Two sessions of one project and one of another, with prompts, observations and summaries.

    An observation and a prompt have lost their sessions, an observation came from a worktree, and one has no text.

    Parameters:
        early: with the column names and the seconds of the first versions.
    """
    schema = _SCHEMA
    if early:
        schema = schema.replace("content_session_id", "claude_session_id")
        schema = schema.replace("memory_session_id", "sdk_session_id").replace(
            "merged_into_project TEXT, ", ""
        )
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(schema)
        for number, project in enumerate(("api", "api", "site")):
            _session(connection, number, project, early=early)
        _observation(connection, "gone", "api", number=7, early=early)
        if not early:
            _observation(connection, "memory-0", "api-worktree", number=8, merged_into_project="site")
        _observation(connection, "memory-0", "api", number=9, early=early, empty=True)
        _prompt(connection, "gone", 1, START, early=early)
    return path


def _session(connection: sqlite3.Connection, number: int, project: str, *, early: bool) -> None:
    at = START + number * 1_000_000
    row: dict[str, Any] = {
        "content_session_id": f"content-{number}",
        "memory_session_id": f"memory-{number}",
        "project": project,
        "user_prompt": f"Prompt of {number}",
        "started_at": "t",
        "started_at_epoch": at,
        "status": "completed" if number == 0 else "active",
        "completed_at_epoch": at + 5000 if number == 0 else None,
    }
    _insert(connection, "sdk_sessions", row, early=early)
    for prompt in (1, 2):
        _prompt(connection, f"content-{number}", prompt, at + prompt, early=early)
    for each in range(2):
        _observation(connection, f"memory-{number}", project, number=number * 10 + each, early=early)
    summary = {
        "memory_session_id": f"memory-{number}",
        "project": project,
        "request": "Mend the relay",
        "learned": f"It polls, {number}",
        "next_steps": "Measure",
        "files_edited": json.dumps(["relay.py"]),
    }
    _insert(connection, "session_summaries", summary | _at(at + 9), early=early)


def _prompt(connection: sqlite3.Connection, content_id: str, number: int, at: int, *, early: bool) -> None:
    text = f"Do {number} <private>{SECRET}</private>"
    said = {"content_session_id": content_id, "prompt_number": number, "prompt_text": text}
    _insert(connection, "user_prompts", said | _at(at), early=early)


def _observation(
    connection: sqlite3.Connection,
    memory_id: str,
    project: str,
    *,
    number: int,
    early: bool = False,
    empty: bool = False,
    **more: Any,
) -> None:
    row: dict[str, Any] = {"memory_session_id": memory_id, "project": project, "type": "discovery"}
    if not empty:
        row |= {
            "title": f"Relay finding {number}",
            "narrative": f"The outbox relay <private>{SECRET}</private> wakes",
            "facts": json.dumps([f"fact {number}", "another"]),
            "concepts": json.dumps(["how-it-works"]),
            "files_read": json.dumps(["src/relay.ts"]),
            "generated_by_model": "claude-x",
            "metadata": json.dumps({"ticket": number, "title": "of no one"}),
        }
    _insert(connection, "observations", row | more | _at(START + number), early=early)


def _at(epoch: int) -> dict[str, Any]:
    return {"created_at": "t", "created_at_epoch": epoch}


def _insert(connection: sqlite3.Connection, table: str, row: dict[str, Any], *, early: bool) -> None:
    older = (
        {"content_session_id": "claude_session_id", "memory_session_id": "sdk_session_id"} if early else {}
    )
    if early:
        row = {name: _seconds(value) if name.endswith("_epoch") else value for name, value in row.items()}
    names = ", ".join(older.get(name, name) for name in row)
    marks = ", ".join("?" for _ in row)
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))


def _seconds(milliseconds: int | None) -> int | None:
    return milliseconds and milliseconds // 1000
