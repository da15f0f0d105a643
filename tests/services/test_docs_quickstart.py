"""docs/quickstart.md does what it says: its own commands, in order, in a home of the test's own.

Only what the test cannot share is changed: nothing is installed anew, and the port is a free one.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from claude_mem.process import state
from tests.support.ports import is_listening
from tests.support.processes import wait_until

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
INSTALL = "hack/setup run\n"
ADDRESS = "URL=http://127.0.0.1:$((37877 + $(id -u) % 100))\n"


def _blocks() -> dict[str, list[str]]:
    """The shell blocks under each heading, by its number."""
    sections = re.findall(r"^## (\d)\. .*?\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return {
        number: re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL) for number, text in sections
    }


class Terminal:
    """Runs blocks one after another; what one exports, the next has."""

    def __init__(self, home: Path, port: int) -> None:
        self.home = home
        self.data = home / ".claude-mem"
        self.port = port
        self._exported = home / "exported"
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._environ = {
            name: value for name, value in os.environ.items() if name != "CLAUDE_MEM_DATA_DIR"
        } | {"PATH": path, "CLAUDE_MEM_SERVER_PORT": str(port)}

    def run(self, block: str, *, told: str = "") -> str:
        """What the commands print.

        Parameters:
            told: what they read.
        """
        block = block.replace(INSTALL, "").replace(ADDRESS, f"URL=http://127.0.0.1:{self.port}\n")
        before = f'set -aeu -o pipefail; [ ! -f "{self._exported}" ] || . "{self._exported}"'
        done = subprocess.run(
            ["bash", "-c", f'{before}\n{block}\nexport -p > "{self._exported}"'],
            capture_output=True,
            check=False,
            cwd=ROOT,
            env=self._environ,
            input=told,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, (block, done.stdout, done.stderr)
        return done.stdout


@pytest.fixture
def terminal(free_port: int) -> Iterator[Terminal]:
    started = Terminal(Path(os.environ["HOME"]), free_port)
    yield started
    running = state.read(started.data)
    if running is not None:
        os.kill(running.pid, signal.SIGKILL)


def _documents(text: str) -> list[dict[str, Any]]:
    """JSON documents that follow each other."""
    found = []
    while text := text.lstrip():
        document, end = json.JSONDecoder().raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


def test_the_quickstart_does_what_it_says(terminal: Terminal) -> None:
    blocks = _blocks()
    counts = [(number, len(found)) for number, found in blocks.items()]
    assert counts == [("1", 2), ("2", 1), ("3", 2), ("4", 2), ("5", 1)], "a new block is to be run here too"
    assert INSTALL in blocks["1"][0]
    assert ADDRESS in blocks["3"][1]

    assert re.search(r"^claude-mem \d", terminal.run(blocks["1"][0]), re.MULTILINE)
    terminal.run(blocks["1"][1])
    _is_ready(terminal, blocks["2"][0])

    assert "The staging database is reset every Sunday." in terminal.run(blocks["3"][0])
    sent, found = _documents(terminal.run(blocks["3"][1]))
    assert sent["generationJob"]["status"] == "completed"
    assert "duplicate" not in sent
    [memory] = found["observations"]
    assert "KeyError: amount in invoice.py" in memory["content"]
    again, found = _documents(terminal.run(blocks["3"][1]))
    assert again["duplicate"] is True, "as the page says of sending it a second time"
    assert [one["id"] for one in found["observations"]] == [memory["id"]]

    _connects_an_agent(terminal, *blocks["4"])
    _uses_a_model(terminal, blocks["5"][0])
    _ends(terminal)


def _is_ready(terminal: Terminal, start: str) -> None:
    start, status = start.splitlines(keepends=True)
    # 5 is a server that is still starting, on a machine that is busy for a minute.
    terminal.run(f"{start.rstrip()} || [ $? = 5 ]")
    said: list[str] = []

    def is_said() -> bool:
        # A server that is busy for two seconds says that it is not ready.
        said[:] = [terminal.run(f"{status.rstrip()} || true")]
        return re.search(r"^ready +yes$", said[0], re.MULTILINE) is not None

    wait_until(is_said, what="the server to be ready")
    assert re.search(rf"^server +http://127\.0\.0\.1:{terminal.port}$", said[0], re.MULTILINE)


def _connects_an_agent(terminal: Terminal, install: str, look: str) -> None:
    preview, made = install.splitlines(keepends=True)
    settings = terminal.home / ".claude" / "settings.json"
    assert str(settings) in terminal.run(preview)
    assert not settings.exists(), "a dry run writes nothing"
    terminal.run(made)
    [hook] = json.loads(settings.read_text())["hooks"]["SessionStart"][0]["hooks"]
    start = {
        "hook_event_name": "SessionStart",
        "session_id": "first",
        "source": "startup",
        "cwd": str(terminal.home),
    }

    def is_told() -> bool:
        # A hook would rather say nothing than keep its agent waiting for a server that is busy.
        return "reset every Sunday" in terminal.run(hook["command"], told=json.dumps(start))

    wait_until(is_told, what="what is known to be told")
    looked = terminal.run(look)
    assert "KeyError: amount in invoice.py" in looked
    assert '"status": "completed"' in looked


def _uses_a_model(terminal: Terminal, block: str) -> None:
    *before, doctor = block.splitlines(keepends=True)
    terminal.run("".join(before))
    said: list[str] = []

    def is_well() -> bool:
        # The doctor waits for a server for a few seconds, not for a busy machine.
        said[:] = [terminal.run(f"{doctor.rstrip()} && echo all of it is well || true")]
        return "all of it is well" in said[0]

    wait_until(is_well, what="the doctor to find all well")
    assert "provider: claude is configured" in said[0]


def _ends(terminal: Terminal) -> None:
    """What stands where, and how it is taken away, as the last section has it."""
    last = PAGE.partition("## Where things are")[2]
    named = re.findall(r"^\| `([\w./]+)` \|", last, re.MULTILINE)
    assert named == ["server.db", "settings.json", "spool/", "logs/"]
    # The spool comes with the first thing that cannot be sent.
    assert all((terminal.data / name).exists() for name in named if name != "spool/")
    stop, uninstall = re.findall(r"`(claude-mem (?:server stop|uninstall))`", last)
    terminal.run(stop)
    assert not is_listening(terminal.port)
    terminal.run(uninstall)
    settings = terminal.home / ".claude" / "settings.json"
    assert not settings.exists() or "claude-mem" not in settings.read_text()
