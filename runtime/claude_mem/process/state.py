"""What a running server leaves in the data directory, so that other commands find it; names are claude-mem 13's."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PID_FILE = ".server-beta.pid"
PORT_FILE = ".server-beta.port"
RUNTIME_FILE = ".server-beta.runtime.json"

#: Ours alone: there until a server listens, so that nobody takes one that migrates for none.
STARTING_FILE = ".server-beta.starting"

RUNTIME_LABEL = "server-beta"


@dataclass(frozen=True, slots=True)
class ServerState:
    """A server as it announced itself.

    Parameters:
        startedAt: ISO 8601 time.
        startToken: when the process started, in the kernel's ticks; tells it from a later one of the same pid.
    """

    pid: int
    port: int
    startedAt: str  # noqa: N815 - the file's own spelling
    startToken: str | None  # noqa: N815 - the file's own spelling


def start_token(pid: int) -> str | None:
    """The kernel's start time of a process, or None where that cannot be known."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]


def is_alive(state: ServerState) -> bool:
    """Whether the process that wrote the state is still that process."""
    try:
        os.kill(state.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    if _is_zombie(state.pid):
        return False
    return state.startToken is None or state.startToken == start_token(state.pid)


def _is_zombie(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "Z"


def read(data_dir: Path) -> ServerState | None:
    """The state of a server that listens and is alive; a file left by a dead one counts as none."""
    return _read(data_dir / PID_FILE)


def read_starting(data_dir: Path) -> ServerState | None:
    """The state of a server that is alive and does not listen yet."""
    return _read(data_dir / STARTING_FILE)


def find(data_dir: Path) -> tuple[ServerState | None, ServerState | None]:
    """The server that is starting, and the one that listens; one that begins to listen meanwhile is both, never none."""
    starting = read_starting(data_dir)
    return starting, read(data_dir)


def _read(path: Path) -> ServerState | None:
    try:
        found = json.loads(path.read_text("utf-8"))
        state = ServerState(
            pid=int(found["pid"]),
            port=int(found["port"]),
            startedAt=str(found.get("startedAt", "")),
            startToken=found.get("startToken"),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return state if is_alive(state) else None


def write_starting(data_dir: Path, state: ServerState) -> None:
    """Announce that this server begins."""
    put(data_dir / STARTING_FILE, json.dumps(asdict(state)))


def write(data_dir: Path, state: ServerState, *, host: str, boundaries: dict[str, Any]) -> None:
    """Announce this server."""
    put(data_dir / PID_FILE, json.dumps(asdict(state)))
    put(data_dir / PORT_FILE, str(state.port))
    runtime = {
        "runtime": RUNTIME_LABEL,
        "pid": state.pid,
        "port": state.port,
        "host": host,
        "startedAt": state.startedAt,
        "bootstrap": {"mode": "server"},
        "boundaries": boundaries,
    }
    put(data_dir / RUNTIME_FILE, json.dumps(runtime))


def remove(data_dir: Path, pid: int) -> None:
    """Take back what `write` announced, if it is still that server's."""
    if _owner(data_dir / PID_FILE) == pid:
        for name in (PID_FILE, PORT_FILE, RUNTIME_FILE):
            (data_dir / name).unlink(missing_ok=True)


def remove_starting(data_dir: Path, pid: int) -> None:
    """Take back what `write_starting` announced, if it is still that server's."""
    if _owner(data_dir / STARTING_FILE) == pid:
        (data_dir / STARTING_FILE).unlink(missing_ok=True)


def _owner(path: Path) -> object:
    """The pid in a file; None where it holds none."""
    try:
        return json.loads(path.read_text("utf-8")).get("pid")
    except (OSError, ValueError, AttributeError):
        return None


def put(path: Path, text: str) -> None:
    """Write a file so that nobody ever reads half of it; its directory is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(text, "utf-8")
    temporary.replace(path)
