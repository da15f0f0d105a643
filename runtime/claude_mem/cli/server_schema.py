"""`claude-mem server migrate`: the database's schema brought up to date, or only looked at.

A server and a worker do the same when they start; this is for doing it before them, or for asking.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from claude_mem.cli.output import ExitCode, emit
from claude_mem.cli.server_context import AsJson, server_errors, target
from claude_mem.storage import opening

if TYPE_CHECKING:
    from rich.console import Console

    from claude_mem.settings import DatabaseSettings
    from claude_mem.storage.migrations import SchemaState


def migrate(
    *,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; 0 if current, 1 if not.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the database's schema up to date; safe beside running servers and other migrations."""
    settings = target().database
    if check:
        _check(settings, as_json=as_json)
        return
    with server_errors():
        report = asyncio.run(opening.migrate(settings))
    result = {
        "applied": list(report.applied),
        "version": report.version,
        "waitedSeconds": round(report.waited_s, 3),
    }
    applied = ", ".join(map(str, report.applied)) or "nothing; it was current"
    words = f"schema version {report.version}; applied: {applied}"
    emit(result, as_json=as_json, render=lambda console: console.print(words))


def _check(settings: DatabaseSettings, *, as_json: bool) -> None:
    with server_errors():
        state = asyncio.run(opening.check(settings))
    result = dataclasses.asdict(state) | {"current": state.current}
    emit(result, as_json=as_json, render=lambda console: _render(console, state))
    if not state.current:
        raise typer.Exit(ExitCode.FAILURE)


def _render(console: Console, state: SchemaState) -> None:
    if state.version is None:
        console.print("the database has no schema yet")
    else:
        console.print(f"schema version {state.version}; this release has {state.latest}")
    for name in state.pending:
        console.print(f"  pending: {name}", markup=False)
    if state.version is not None and state.version > state.latest:
        console.print("a newer release has migrated it; run that one")
    elif state.pending:
        console.print("next: claude-mem server migrate")
