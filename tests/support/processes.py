"""Child processes with captured output, and waits that end at a deadline and say what they saw.

Needs the standard library only, so the demo and the benchmarks can use it too. What a process means (a
server, a database) is left to the caller.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.support.ports import is_listening

POLL_SECONDS = 0.02
#: Seconds for what takes a moment, on a machine that is busy with something else.
PATIENCE_S = 240.0
TAIL_CHARACTERS = 4000

#: States of a process that starts no other: stopped, ended, gone.
_STILL = frozenset({"T", "t", "Z", "X", ""})


class WaitTimeoutError(AssertionError):
    """Raised when what is waited for has not come by the deadline."""


class ProcessEndedError(AssertionError):
    """Raised when a process ended while something was still expected of it."""


def wait_until(condition: Callable[[], object], *, what: str, timeout: float = PATIENCE_S) -> None:
    """Return as soon as ``condition()`` is true; raise WaitTimeoutError after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise WaitTimeoutError(f"waited {timeout:g} s for {what}")
        time.sleep(POLL_SECONDS)


def fair(seconds: float) -> float:
    """What takes so many seconds on a machine that does nothing else takes longer on a busy one: this long."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def http_status(url: str, *, timeout: float = 20) -> int | None:
    """The status that a GET of ``url`` answers with, or None where nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return None


class Process:
    """One child process, started at once.

    Its standard output and error go to files, so it never blocks on a reader. ``user`` drops root's
    privileges. Where the system has ``setpriv`` the child dies with this process, however this process ends.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        user: str | None = None,
    ) -> None:
        self.command = [os.fspath(part) for part in command]
        self.name = Path(self.command[0]).name
        self._directory = Path(tempfile.mkdtemp(prefix="claude-mem-process-"))
        setpriv = shutil.which("setpriv")
        prefix = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
        with (
            (self._directory / "stdout").open("wb") as stdout,
            (self._directory / "stderr").open("wb") as stderr,
        ):
            self._child = subprocess.Popen(
                [*prefix, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=None if env is None else dict(env),
                cwd=cwd,
                user=user,
                group=user,
                extra_groups=[] if user else None,
                process_group=0,  # a Ctrl-C at the terminal is for this process, which then ends its children
            )
        self.pid = self._child.pid

    @property
    def stdout(self) -> str:
        """What it has written to its standard output so far."""
        return (self._directory / "stdout").read_text(errors="replace")

    @property
    def stderr(self) -> str:
        """What it has written to its standard error so far."""
        return (self._directory / "stderr").read_text(errors="replace")

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._child.poll() is None

    def wait_until(self, condition: Callable[[], object], *, what: str, timeout: float = PATIENCE_S) -> None:
        """Wait as the function of this name does, but give up as soon as the process has ended."""

        def met_or_ended() -> bool:
            return bool(condition()) or not self.is_running

        try:
            wait_until(met_or_ended, what=what, timeout=timeout)
        except WaitTimeoutError as error:
            raise WaitTimeoutError(f"{error}; {self._description()}") from None
        if not condition():
            raise ProcessEndedError(f"ended before {what}; {self._description()}")

    def wait_for_line(self, pattern: str, *, timeout: float = PATIENCE_S) -> re.Match[str]:
        """Wait for a line of its output or error that the regular expression is found in."""
        expression = re.compile(pattern, re.MULTILINE)
        found: list[re.Match[str]] = []

        def seen() -> bool:
            found[:] = [match for text in (self.stdout, self.stderr) if (match := expression.search(text))]
            return bool(found)

        self.wait_until(seen, what=f"a line with /{pattern}/", timeout=timeout)
        return found[0]

    def wait_for_port(self, port: int, *, timeout: float = PATIENCE_S) -> None:
        """Wait until connections to the port on 127.0.0.1 are accepted."""
        self.wait_until(lambda: is_listening(port), what=f"a listener on port {port}", timeout=timeout)

    def wait_for_http(self, url: str, *, status: int = 200, timeout: float = PATIENCE_S) -> None:
        """Wait until a GET of ``url`` answers with ``status``."""
        self.wait_until(lambda: http_status(url) == status, what=f"{status} from {url}", timeout=timeout)

    def wait(self, *, timeout: float = PATIENCE_S) -> int:
        """Wait for its end and return its exit code, negative for a signal."""
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise WaitTimeoutError(f"waited {timeout:g} s for its end; {self._description()}") from None

    def terminate(self, *, timeout: float = PATIENCE_S) -> int:
        """Ask it to end (SIGTERM) and return its exit code."""
        self._signal(signal.SIGTERM)
        return self.wait(timeout=timeout)

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would, and wait until it is gone."""
        self._signal(signal.SIGKILL)
        self.wait()

    def kill_tree(self) -> None:
        """End it and the processes it started at once, itself first."""
        self._signal(signal.SIGSTOP)  # who still runs may start another one after its children were counted
        wait_until(
            lambda: not self.is_running or _state(self.pid) in _STILL, what=f"{self.name} to stand still"
        )
        children = _children(self.pid)
        self.kill()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        wait_until(lambda: not any(map(_is_alive, children)), what=f"the end of {self.name}'s children")

    def close(self) -> None:
        """Kill it if it still runs, and drop its output."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        if self.is_running:
            self._child.send_signal(number)

    def _description(self) -> str:
        state = "still running" if self.is_running else f"exit code {self._child.returncode}"
        return (
            f"{' '.join(self.command)} ({state})\n--- stdout\n{self.stdout[-TAIL_CHARACTERS:]}"
            f"\n--- stderr\n{self.stderr[-TAIL_CHARACTERS:]}"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ProcessGroup:
    """Starts processes and closes all of them in the end, the youngest first."""

    def __init__(self) -> None:
        self._processes: list[Process] = []

    def start(
        self,
        *command: str | os.PathLike[str],
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
    ) -> Process:
        """Start a command, with ``env`` added to this process's environment."""
        process = Process(command, env={**os.environ, **(env or {})}, cwd=cwd)
        self._processes.append(process)
        return process

    def close(self) -> None:
        """Kill what still runs."""
        while self._processes:
            self._processes.pop().close()


def halt(pid: int) -> None:
    """Stop a process as SIGSTOP does, and wait until it stands still or has ended; SIGCONT has it go on."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: _state(pid) in {"T", "Z"}, what=f"process {pid} to stand still")


def cpu_seconds(pid: int) -> float:
    """Processor time, user and system, that a process and its ended children have used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def tree_cpu_seconds(pid: int) -> float:
    """Processor time of a process and of all its children, living and ended, in seconds."""
    total = cpu_seconds(pid)
    for child in _children(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            total += cpu_seconds(child)
    return total


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _state(pid: int) -> str:
    """A process's state as the system names it, such as `T` for one that was stopped; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _is_alive(pid: int) -> bool:
    return _state(pid) not in {"", "Z"}
