"""`claude-mem server doctor`: looks at everything that a server needs, one finding each, and says what to do.

It changes nothing, asks no provider, and goes on after a failure, so that one run names all that is wrong.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import httpx
import typer
from rich.text import Text

from claude_mem.cli.output import ExitCode, emit
from claude_mem.cli.server_context import AsJson, data_dir, judge, reason
from claude_mem.environment import Mode, QueueEngine, Role
from claude_mem.environment.catalogue import service
from claude_mem.http.keys import RUNTIME_LABEL
from claude_mem.model.errors import Unavailable
from claude_mem.process import state
from claude_mem.process.parts import make_queue
from claude_mem.settings import HttpSettings, database_settings, queue_settings
from claude_mem.settings.fields import fill
from claude_mem.storage import opening
from claude_mem.storage.migrations import MigrationError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from claude_mem.environment import Verdict

Status = Literal["ok", "warn", "fail"]

#: Seconds that whatever is asked has to answer.
TIMEOUT_S = 5.0

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found, and what to do about it where it is not well."""

    name: str
    status: Status
    message: str
    remedy: str | None = None


def doctor(*, as_json: AsJson = False) -> None:
    """Look at everything that a server needs; 1 if anything fails."""
    findings = asyncio.run(_look())
    failed = any(finding.status == "fail" for finding in findings)
    result = {"ok": not failed, "checks": [asdict(finding) for finding in findings]}
    emit(result, as_json=as_json, render=lambda console: _render(console, findings))
    if failed:
        raise typer.Exit(ExitCode.FAILURE)


async def _look() -> list[Finding]:
    verdict = judge(Role.SERVER)
    where = data_dir()
    broken = {problem.variable for problem in verdict.errors}
    return [
        *_environment(verdict),
        _data_dir(where, needed=verdict.mode is Mode.LOCAL_DEVELOPMENT),
        await _database(usable=service.DATABASE_URL.name not in broken),
        await _queue(verdict, usable=service.REDIS_URL.name not in broken),
        _provider(verdict),
        *await _port_and_server(where),
    ]


def _environment(verdict: Verdict) -> list[Finding]:
    problems = [Finding("environment", "fail", each.message, each.remedy) for each in verdict.errors]
    cautions = [Finding("environment", "warn", each.message, each.remedy) for each in verdict.warnings]
    well = [Finding("environment", "ok", f"a server may start, as {verdict.mode}")]
    return [*(problems or well), *cautions]


def _data_dir(where: Path, *, needed: bool) -> Finding:
    """Only local development keeps memories there; a container's may be read-only."""
    existing = next(path for path in (where, *where.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        status: Status = "fail" if needed else "warn"
        message = f"{where} cannot be written: {reason(error)}"
        return Finding("data directory", status, message, "correct CLAUDE_MEM_DATA_DIR")
    verb = "written" if where.exists() else "made"
    return Finding("data directory", "ok", f"{where} can be {verb}")


async def _database(*, usable: bool) -> Finding:
    if not usable:
        return Finding("database", "fail", "no usable database is named", "see environment above")
    settings = database_settings(os.environ)
    name = "SQLite" if settings.url is None else "PostgreSQL"
    try:
        found = await opening.check(settings)
    except Unavailable as error:
        return Finding(
            "database", "fail", error.message, "start it, or correct CLAUDE_MEM_SERVER_DATABASE_URL"
        )
    except (MigrationError, OSError) as error:
        return Finding("database", "fail", str(error), "correct what is said above")
    if found.current:
        return Finding("database", "ok", f"{name} answers; its schema is at version {found.version}")
    if found.version is not None and found.version > found.latest:
        return Finding(
            "database",
            "fail",
            f"a newer release has migrated it to version {found.version}",
            "run that release",
        )
    return Finding(
        "database",
        "warn",
        f"{name}: {len(found.pending)} migrations are pending",
        "a server that starts applies them; or now: claude-mem server migrate",
    )


async def _queue(verdict: Verdict, *, usable: bool) -> Finding:
    if verdict.queue_engine is QueueEngine.IN_PROCESS:
        return Finding("queue", "ok", "the server works its jobs off itself")
    if verdict.queue_engine is QueueEngine.DISABLED:
        remedy = "for a deployment: CLAUDE_MEM_QUEUE_ENGINE=dramatiq with CLAUDE_MEM_REDIS_URL"
        return Finding("queue", "warn", "there is no queue; workers find jobs in the database", remedy)
    if not usable:
        return Finding("queue", "fail", "no usable Redis or Valkey is named", "see environment above")
    queue = make_queue(queue_settings(os.environ, verdict), lambda: None)
    try:
        await queue.ping(timeout_s=TIMEOUT_S)
    except Unavailable as error:
        return Finding("queue", "fail", error.message, "start it, or correct CLAUDE_MEM_REDIS_URL")
    finally:
        await queue.close()
    return Finding("queue", "ok", "Valkey answers")


def _provider(verdict: Verdict) -> Finding:
    if verdict.generation_disabled:
        return Finding("provider", "ok", "workers generate; this server does not")
    if verdict.provider is None:
        remedy = "set CLAUDE_MEM_SERVER_PROVIDER and its key, here or for a worker"
        return Finding("provider", "warn", "no provider is configured, so events stay events", remedy)
    return Finding("provider", "ok", f"{verdict.provider} is configured; it was not called")


async def _port_and_server(where: Path) -> list[Finding]:
    from claude_mem.process.server import PortInUse, bind  # noqa: PLC0415 - slow, and help is not to wait for it

    settings = fill(HttpSettings, os.environ)
    begun, running = state.find(where)
    found = running or begun
    if found is not None:
        mine = Finding("port", "ok", f"{found.port} is this data directory's server, process {found.pid}")
        if running is None:
            words = "it is still starting, as with much to migrate"
            return [mine, Finding("server", "warn", words, "wait for it: claude-mem server status")]
        return [mine, await _readiness(_url(settings.host, found.port))]
    try:
        bind(settings.host, settings.port).close()
    except PortInUse:
        return await _other(settings.host, settings.port)
    except OSError as error:
        remedy = "correct CLAUDE_MEM_SERVER_HOST or CLAUDE_MEM_SERVER_PORT"
        return [Finding("port", "fail", f"{settings.host}:{settings.port}: {reason(error)}", remedy)]
    return [
        Finding("port", "ok", f"{settings.port} on {settings.host} is free"),
        Finding("server", "ok", "none runs; start one with: claude-mem server start --daemon"),
    ]


async def _other(host: str, port: int) -> list[Finding]:
    """Who has the port, where it is not a server that this data directory knows."""
    answer = await _get(_url(host, port) + "/healthz")
    if answer is not None and RUNTIME_LABEL in answer.text:
        known = "a claude-mem server has it that does not use this data directory"
        return [Finding("port", "ok", f"{port}: {known}"), await _readiness(_url(host, port))]
    remedy = "stop that program, or choose another port with CLAUDE_MEM_SERVER_PORT"
    return [Finding("port", "fail", f"another program listens on {port}", remedy)]


async def _readiness(url: str) -> Finding:
    answer = await _get(f"{url}/readyz")
    if answer is None:
        return Finding("server", "fail", f"{url} does not answer", "claude-mem server restart")
    if answer.status_code != httpx.codes.OK:
        return Finding("server", "fail", f"{url} is not ready: {answer.text}", "see the checks above")
    return Finding("server", "ok", f"{url} is ready")


async def _get(url: str) -> httpx.Response | None:
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
            return await client.get(url)
    except httpx.HTTPError:
        return None


def _url(host: str, port: int) -> str:
    """How a listener on this machine is reached; one that listens everywhere is on loopback too."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _render(console: Console, findings: list[Finding]) -> None:
    for finding in findings:
        console.print(
            Text(f"{finding.status:<4}", _STYLES[finding.status]),
            finding.name + ":",
            finding.message,
            markup=False,
        )
        if finding.remedy:
            console.print(f"       next: {finding.remedy}", markup=False)
