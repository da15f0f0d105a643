"""What a server leaves for other commands, and that nobody mistakes a dead one for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from claude_mem.process import state
from claude_mem.process.server import PortInUse, bind


def announced(**changes: object) -> state.ServerState:
    pid = os.getpid()
    members = {"pid": pid, "port": 1, "startedAt": "t", "startToken": state.start_token(pid)} | changes
    return state.ServerState(**members)  # type: ignore[arg-type]


def test_a_live_server_is_found_and_takes_its_files_back(tmp_path: Path) -> None:
    directory = tmp_path / "not there yet"
    state.write(directory, announced(), host="127.0.0.1", boundaries={"b": {}})
    assert state.read(directory) == announced()
    runtime = json.loads((directory / state.RUNTIME_FILE).read_text())
    assert (runtime["runtime"], runtime["port"], runtime["boundaries"]) == ("server-beta", 1, {"b": {}})
    state.remove(directory, os.getpid() + 1)
    assert state.read(directory) is not None, "another's files are left alone"
    state.remove(directory, os.getpid())
    assert list(directory.iterdir()) == []
    state.remove(directory, os.getpid())


def test_one_that_starts_is_found_until_it_takes_that_back(tmp_path: Path) -> None:
    directory = tmp_path / "not there yet"
    assert state.find(directory) == (None, None)
    state.write_starting(directory, announced())
    assert state.find(directory) == (announced(), None)
    state.remove(directory, os.getpid())
    state.remove_starting(directory, os.getpid() + 1)
    assert state.find(directory) == (announced(), None)
    state.write(directory, announced(port=2), host="127.0.0.1", boundaries={})
    assert state.find(directory) == (announced(), announced(port=2))
    state.remove_starting(directory, os.getpid())
    assert state.find(directory) == (None, announced(port=2))


def test_a_dead_server_or_another_of_the_same_pid_counts_as_none(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    for changes in ({"pid": ended.pid}, {"startToken": "0"}):
        state.write_starting(tmp_path, announced(**changes))
        state.write(tmp_path, announced(**changes), host="::1", boundaries={})
        assert state.find(tmp_path) == (None, None)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1}', "\udcff"])
def test_a_damaged_file_counts_as_none(tmp_path: Path, text: str) -> None:
    for name in (state.PID_FILE, state.STARTING_FILE):
        (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert state.find(tmp_path) == (None, None)
    state.remove(tmp_path, 2)
    state.remove_starting(tmp_path, 2)


def test_a_port_in_use_is_told_with_the_way_out() -> None:
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortInUse, match=rf"port {port} .* CLAUDE_MEM_SERVER_PORT"):
            bind("127.0.0.1", port)
