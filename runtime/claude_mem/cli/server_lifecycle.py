"""`claude-mem server start|stop|restart|status|logs`: the server of this data directory, found by its state files.

A detached server is the foreground one in a session of its own, with its output in a log file.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Annotated, Any

import typer

from claude_mem.cli import server_foreground
from claude_mem.cli.output import ExitCode, emit, fail, note
from claude_mem.cli.server_context import AsJson, data_dir, reason, show
from claude_mem.environment import Role
from claude_mem.process import state

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rich.console import Console

    from claude_mem.process.state import ServerState

#: Seconds in which a detached server is expected to listen; one that migrates for longer is told of and left to itself.
START_S = 60.0

#: Seconds in which a server is expected to end: requests and jobs under way get theirs first.
STOP_S = 40.0

POLL_S = 0.05

#: Lines of the log that are shown where a detached server did not start.
TAIL_LINES = 20

Detached = Annotated[bool, typer.Option("--daemon", "-d", help="Leave it running in the background.")]


def start(*, daemon: Detached = False, as_json: AsJson = False) -> None:
    """Start the server, in the foreground without --daemon; one that runs already is left alone.

    With --daemon the exit status is 0 once the server is ready, 1 if it ended, and 5 if it is still starting after a
    minute, as with much to migrate: it goes on by itself then.
    """
    begun, running = state.find(data_dir())
    if running is not None:
        _announce("ready", running.pid, port=running.port, as_json=as_json)
    elif begun is not None:
        _announce("starting", begun.pid, port=begun.port, as_json=as_json)
        _await_other(begun)
    elif daemon:
        _start_detached(as_json=as_json)
    else:
        server_foreground.run_server()


def stop(*, as_json: AsJson = False) -> None:
    """Stop the server and wait until requests and jobs under way are done."""
    stopped = _stop()
    words = "Server stopped" if stopped else "Server is not running"
    result = {"status": "stopped", "wasRunning": stopped}
    emit(result, as_json=as_json, render=lambda console: console.print(words))


def restart(*, as_json: AsJson = False) -> None:
    """Stop the server if it runs or is starting, and start it in the background, as `start --daemon` does."""
    _stop()
    _start_detached(as_json=as_json)


def status(*, as_json: AsJson = False) -> None:
    """Say whether the server of this data directory runs, or is still starting."""
    begun, running = state.find(data_dir())
    found, word = (begun, "starting") if running is None else (running, "running")
    result: dict[str, Any] = {"status": "stopped"}
    if found is not None:
        result = {
            "status": word,
            "runtime": state.RUNTIME_LABEL,
            "pid": found.pid,
            "port": found.port,
            "startedAt": found.startedAt,
        }

    def render(console: Console) -> None:
        if found is None:
            console.print("Server is not running")
            return
        console.print(f"Server is {word}")
        console.print(f"  PID: {found.pid}")
        console.print(f"  Port: {found.port}")
        console.print(f"  Runtime: {state.RUNTIME_LABEL}")
        console.print(f"  Started: {found.startedAt}")

    emit(result, as_json=as_json, render=render)


def logs(
    *, lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="Lines from the end.")] = 100
) -> None:
    """Print the end of the log of a server that was started with `start --daemon`."""
    path = log_path()
    if not path.exists():
        fail(
            f"there is no log at {path}",
            hint="only a server started by `claude-mem server start --daemon` writes one",
            code=ExitCode.NOT_FOUND,
        )
    sys.stdout.writelines(_tail(path, lines))


def log_path() -> Path:
    """Where a detached server's output goes."""
    return data_dir() / "logs" / "server.log"


def _start_detached(*, as_json: bool) -> None:
    settings = server_foreground.settings_for(Role.SERVER)
    path = log_path()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("ab") as output:
            begins = output.tell()
            # -P keeps a directory of the package's name in the working directory from being taken for it.
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "claude_mem", "server", "--daemon"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
    except OSError as error:
        fail(f"the server cannot be started: {reason(error)}", hint="correct CLAUDE_MEM_DATA_DIR")
    _announce("starting", child.pid, port=settings.http.port, as_json=as_json)
    _await_ready(child.pid, ended=lambda: child.poll() is not None)
    if child.returncode is not None:
        said = "".join(_tail(path, TAIL_LINES, begins=begins)).rstrip()
        fail(
            f"the server ended with status {child.returncode}; the end of {path}:\n{said}",
            hint="mend what the log names, then: claude-mem server start --daemon",
        )
    else:
        note(f"ready; its log is {path}")


def _await_other(begun: ServerState) -> None:
    """Wait for a server that somebody else has started."""
    _await_ready(begun.pid, ended=lambda: not state.is_alive(begun))
    if not _is(state.read(data_dir()), begun.pid):
        fail(
            f"process {begun.pid}, which was starting, has ended",
            hint="see why where it was started or in `claude-mem server logs`, then: claude-mem server start --daemon",
        )
    note("ready")


def _await_ready(pid: int, *, ended: Callable[[], bool]) -> None:
    """Wait until the server of a pid is ready or has ended; ends the command with 5 where it is neither in time."""
    where = data_dir()
    if not _wait(lambda: ended() or _is(state.read(where), pid), START_S):
        fail(
            f"process {pid} is still starting after {START_S:g} s, which a large migration may explain; it goes on",
            hint=f"ask for it: claude-mem server status; in the background its log is {log_path()}",
            code=ExitCode.UNAVAILABLE,
        )


def _announce(word: str, pid: int, *, port: int, as_json: bool) -> None:
    result = {"status": word, "runtime": state.RUNTIME_LABEL, "pid": pid, "port": port}
    verb = {"ready": "runs already", "starting": "is starting"}[word]
    show(
        result,
        as_json=as_json,
        render=lambda console: console.print(f"Server {verb}: process {pid}, port {port}"),
    )
    sys.stdout.flush()


def _stop() -> bool:
    """End the server of this data directory, though it may still be starting; False where there is none."""
    begun, running = state.find(data_dir())
    running = running or begun
    if running is None:
        return False
    try:
        os.kill(running.pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
    except PermissionError:
        fail(f"process {running.pid} is another user's server", hint="stop it as that user")
    if not _wait(lambda: not state.is_alive(running), STOP_S):
        fail(
            f"process {running.pid} has not ended within {STOP_S:g} s",
            hint=f"wait for it, or end it at once: kill -9 {running.pid}; nothing that was acknowledged is lost",
        )
    state.remove(data_dir(), running.pid)
    state.remove_starting(data_dir(), running.pid)
    return True


def _is(running: ServerState | None, pid: int) -> bool:
    return running is not None and running.pid == pid


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Look until the condition holds or the time is over; whether it held."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _tail(path: Path, lines: int, *, begins: int = 0) -> deque[str]:
    """The last lines of a text file, of what was written from the byte `begins` on."""
    with path.open("rb") as file:
        file.seek(begins)
        return deque((line.decode(errors="replace") for line in file), maxlen=lines)
