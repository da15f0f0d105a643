"""A real Valkey (or Redis, which speaks the same) on a free port, emptied for whoever asks.

Configured as the deployments are: an append-only file synced every second, and no eviction. It can be crashed
and started again on the same port and data.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from pathlib import Path
from typing import Self

from tests.support.ports import free_port
from tests.support.processes import Process, ProcessEndedError

PROGRAMS = ("valkey-server", "redis-server")
START_ATTEMPTS = 5
#: Seconds that a server may take to write what it forgets to a busy disk.
ANSWER_SECONDS = 60


class ValkeyMissingError(AssertionError):
    """Raised when this machine has neither Valkey nor Redis; hack/setup test installs one."""


class ValkeyServer:
    """One Valkey server with its own data directory, running from its creation until ``close()``.

    Parameters:
        options: further lines of its configuration, by their names.
    """

    def __init__(self, **options: str) -> None:
        self._options = {name.replace("_", "-"): value for name, value in options.items()}
        self._program = _program()
        self.directory = Path(tempfile.mkdtemp(prefix="claude-mem-valkey-"))
        for attempt in range(START_ATTEMPTS):
            self.port = free_port()
            try:
                self._process = self._start()
            except ProcessEndedError:
                if attempt == START_ATTEMPTS - 1:
                    raise
            else:
                return

    @property
    def url(self) -> str:
        """The connection URL of its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def flush(self) -> None:
        """Remove every key."""
        answer = self._command("FLUSHALL", timeout_s=ANSWER_SECONDS)
        if answer != "+OK":
            raise AssertionError(f"FLUSHALL answered {answer!r}")

    def crash(self) -> None:
        """Kill it at once, as a lost machine would."""
        self._process.close()

    def start(self) -> None:
        """Start it again on its old port and data after ``crash()``."""
        self._process = self._start()

    def close(self) -> None:
        """Kill it and remove its data."""
        self._process.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> Process:
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.directory),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
        } | self._options
        arguments = [part for key, value in options.items() for part in (f"--{key}", value)]
        process = Process([self._program, *arguments], cwd=self.directory)
        try:
            process.wait_until(self._is_ready, what="Valkey to answer")
        except AssertionError:
            process.close()
            raise
        return process

    def _is_ready(self) -> bool:
        try:
            return self._command("PING") == "+PONG"
        except OSError:
            return False

    def _command(self, line: str, *, timeout_s: float = 5) -> str:
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s) as connection:
            connection.sendall(f"{line}\r\n".encode())
            with connection.makefile(encoding="utf-8") as answer:
                return answer.readline().rstrip()


def _program() -> str:
    for name in PROGRAMS:
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
        if path:
            return path
    raise ValkeyMissingError("no Valkey or Redis on this machine: run 'hack/setup test', which installs one")
