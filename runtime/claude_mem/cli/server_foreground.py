"""A server or a worker in the foreground: one process, on uvloop, whose ending says how it went.

0 after SIGTERM or SIGINT, 1 for an environment, a port or a schema that it cannot start with, 5 for a database that
does not answer. What the process does is left to `claude_mem.process`, which is imported only here, because it takes
its time.
"""

from __future__ import annotations

import logging
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer
import uvloop

from claude_mem.cli import worker_health as health
from claude_mem.cli.output import fail, stderr
from claude_mem.cli.server_context import AsJson, reason, server_errors
from claude_mem.environment import EnvironmentInvalid, Role
from claude_mem.generation.mode import ModeError
from claude_mem.process import logs, state
from claude_mem.settings import ServerSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from claude_mem.process.server import PortInUse

logger = logging.getLogger(__name__)


def settings_for(role: Role) -> ServerSettings:
    """The settings of this process's environment; ends the command with 1 and the rules' one message."""
    try:
        return ServerSettings.from_environ(os.environ, role=role)
    except EnvironmentInvalid as error:
        stderr().print(str(error), markup=False)
        raise typer.Exit(1) from error


def run_server() -> None:
    """Serve until SIGTERM or SIGINT."""
    _end_on_signals()
    settings = _configured(Role.SERVER)
    from claude_mem.process.server import PortInUse, serve  # noqa: PLC0415 - see the module's docstring

    with _start_errors():
        try:
            uvloop.run(serve(settings))
        except PortInUse as error:
            _refuse_port(settings, error)


def run_worker() -> None:
    """Generate until SIGTERM or SIGINT."""
    _end_on_signals()
    settings = _configured(Role.WORKER)
    from claude_mem.process.worker import work  # noqa: PLC0415 - see the module's docstring

    with _start_errors():
        uvloop.run(work(settings))


def worker_health(*, as_json: AsJson = False) -> None:
    """Whether the worker of this data directory works: exit status 0 if it gave a sign of life just now, else 1."""
    raise typer.Exit(health.run(as_json=as_json))


def _configured(role: Role) -> ServerSettings:
    settings = settings_for(role)
    logs.configure(level=settings.log.level, form=settings.log.format)
    for problem in settings.verdict.warnings:
        logger.warning("%s", problem)
    return settings


def _end_on_signals() -> None:
    """End well when told to before the event loop listens to signals."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)


def _end(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(0)


@contextmanager
def _start_errors() -> Iterator[None]:
    with server_errors():
        try:
            yield
        except (ModeError, ValueError) as error:
            fail(str(error))
        except OSError as error:
            fail(
                f"the server cannot start: {reason(error)}",
                hint="correct CLAUDE_MEM_SERVER_HOST, CLAUDE_MEM_SERVER_PORT or CLAUDE_MEM_DATA_DIR",
            )


def _refuse_port(settings: ServerSettings, error: PortInUse) -> NoReturn:
    """Say who has the port, where it is the server of this very data directory."""
    begun, running = state.find(settings.paths.data_dir)
    found = running or begun
    if found is None or found.port != settings.http.port:
        fail(str(error))
    still = ", which is still starting" if running is None else ""
    fail(
        f"port {found.port} is in use by this data directory's own server, process {found.pid}{still}",
        hint="leave it running, or: claude-mem server restart",
    )
