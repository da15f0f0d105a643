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

#: Seconds in which a detached server is expected to listen; a long migration may take longer.
START_S = 60.0

#: Seconds in which a server is expected to end: requests and jobs under way get theirs first.
STOP_S = 40.0

POLL_S = 0.05

#: Lines of the log that are shown where a detached server did not start.
TAIL_LINES = 20

Detached = Annotated[bool, typer.Option("--daemon", "-d", help="Leave it running in the background.")]


def start(*, daemon: Detached = False, as_json: AsJson = False) -> None:
    """Start the server, in the foreground without --daemon; one that runs already is left alone."""
    running = state.read(data_dir())
    if running is not None:
        _announce("ready", running.pid, port=running.port, as_json=as_json)
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
    """Stop the server if it runs, and start it in the background."""
    _stop()
    _start_detached(as_json=as_json)


def status(*, as_json: AsJson = False) -> None:
    """Say whether the server of this data directory runs."""
    running = state.read(data_dir())
    result: dict[str, Any] = {"status": "stopped"}
    if running is not None:
        result = {
            "status": "running",
            "runtime": state.RUNTIME_LABEL,
            "pid": running.pid,
            "port": running.port,
            "startedAt": running.startedAt,
        }

    def render(console: Console) -> None:
        if running is None:
            console.print("Server is not running")
            return
        console.print("Server is running")
        console.print(f"  PID: {running.pid}")
        console.print(f"  Port: {running.port}")
        console.print(f"  Runtime: {state.RUNTIME_LABEL}")
        console.print(f"  Started: {running.startedAt}")

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
    where = settings.paths.data_dir

    def decided() -> bool:
        return child.poll() is not None or _is(state.read(where), child.pid)

    if not _wait(decided, START_S):
        note(f"it is still starting, which a large migration may explain; see {path}")
    elif child.returncode is not None:
        said = "".join(_tail(path, TAIL_LINES, begins=begins)).rstrip()
        fail(
            f"the server ended with status {child.returncode}; the end of {path}:\n{said}",
            hint="mend what the log names, then: claude-mem server start --daemon",
        )
    else:
        note(f"ready; its log is {path}")


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
    """End the server of this data directory; False where none runs."""
    where = data_dir()
    running = state.read(where)
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
    state.remove(where, running.pid)
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
