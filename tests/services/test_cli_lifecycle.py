"""Servers and workers as the command line starts, finds and ends them: real processes on both storages."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from claude_mem.process import state
from tests.support.databases import PATIENT_WITH_POSTGRES
from tests.support.ports import free_port, is_listening
from tests.support.processes import PATIENCE_S, Process, ProcessGroup, wait_until

pytestmark = pytest.mark.services

PROGRAM = str(Path(sys.executable).with_name("claude-mem"))

#: Seconds for an answer of a process on a busy machine.
ANSWERED_S = 60


def giving(seconds: float) -> list[str]:
    """`claude-mem`, that gives a server which it starts in the background so many seconds."""
    program = (
        "import sys; from claude_mem.cli import main, server_lifecycle; "
        f"server_lifecycle.START_S = {seconds}; sys.exit(main.main())"
    )
    return [sys.executable, "-c", program]


def claude_mem(*arguments: str, expect: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*giving(PATIENCE_S), "server", *arguments],
        capture_output=True,
        check=False,
        env=os.environ | env,
        text=True,
        timeout=2 * PATIENCE_S,
    )
    assert done.returncode == expect, (done.returncode, done.stdout, done.stderr)
    return done


@pytest.fixture
def data_dir() -> Path:
    return Path(os.environ["CLAUDE_MEM_DATA_DIR"])


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment names one storage or the other, and a free port."""
    monkeypatch.setenv("CLAUDE_MEM_SERVER_PORT", str(free_port()))
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        for name, value in ({"CLAUDE_MEM_SERVER_DATABASE_URL": url} | PATIENT_WITH_POSTGRES).items():
            monkeypatch.setenv(name, value)
    return str(request.param)


@pytest.fixture
def detached(data_dir: Path) -> Iterator[None]:
    """Ends what a test left running in the background."""
    yield
    running = state.read(data_dir)
    if running is not None:
        os.kill(running.pid, signal.SIGKILL)


def serving(processes: ProcessGroup, *arguments: str) -> tuple[Process, str]:
    """A server in the foreground that is ready, and its URL."""
    url = f"http://127.0.0.1:{os.environ['CLAUDE_MEM_SERVER_PORT']}"
    process = processes.start(PROGRAM, "server", *arguments)
    process.wait_for_http(f"{url}/readyz", timeout=150)
    return process, url


@pytest.mark.usefixtures("detached")
def test_a_detached_server_is_started_found_restarted_and_stopped(storage: str, data_dir: Path) -> None:
    port = int(os.environ["CLAUDE_MEM_SERVER_PORT"])
    started = json.loads(claude_mem("start", "--daemon").stdout)
    assert started == {"status": "starting", "runtime": "server-beta", "pid": started["pid"], "port": port}
    ready = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=ANSWERED_S)
    assert ready.json()["checks"].keys() == {storage}

    assert json.loads(claude_mem("start").stdout) == started | {"status": "ready"}
    assert claude_mem("status").stdout.splitlines()[:4] == [
        "Server is running",
        f"  PID: {started['pid']}",
        f"  Port: {port}",
        "  Runtime: server-beta",
    ]
    written = json.loads((data_dir / state.RUNTIME_FILE).read_text())
    assert (written["runtime"], written["pid"], written["port"]) == ("server-beta", started["pid"], port)
    assert (data_dir / state.PORT_FILE).read_text() == str(port)

    again = json.loads(claude_mem("restart").stdout)
    assert again["pid"] != started["pid"]
    assert json.loads(claude_mem("status", "--json").stdout)["pid"] == again["pid"]

    assert claude_mem("stop").stdout == "Server stopped\n"
    assert not is_listening(port)
    assert not (data_dir / state.PID_FILE).exists()
    assert claude_mem("status").stdout == "Server is not running\n"
    assert "the server listens" in claude_mem("logs").stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_in_the_foreground_is_one_process_and_ends_well(
    storage: str, number: signal.Signals, processes: ProcessGroup, data_dir: Path
) -> None:
    process, _ = serving(processes, "--daemon")
    running = state.read(data_dir)
    assert running is not None
    assert not Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().strip()
    os.kill(running.pid, number)
    assert process.wait() == 0
    assert not (data_dir / state.PID_FILE).exists()


def test_a_port_that_another_program_has_is_an_error_that_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = claude_mem("--daemon", expect=1, CLAUDE_MEM_SERVER_PORT=port)
        assert f"port {port} on 127.0.0.1 is in use" in done.stderr
        assert "CLAUDE_MEM_SERVER_PORT" in done.stderr
        assert done.stdout == ""
        background = claude_mem("start", "-d", expect=1, CLAUDE_MEM_SERVER_PORT=port)
        assert "the server ended with status 1" in background.stderr
        assert f"port {port} on 127.0.0.1 is in use" in background.stderr


def test_a_port_that_our_own_server_has_is_said_to_be_ours(
    monkeypatch: pytest.MonkeyPatch, processes: ProcessGroup, data_dir: Path
) -> None:
    monkeypatch.setenv("CLAUDE_MEM_SERVER_PORT", str(free_port()))
    serving(processes)
    running = state.read(data_dir)
    assert running is not None
    done = claude_mem("--daemon", expect=1)
    assert f"this data directory's own server, process {running.pid}" in done.stderr


DEPLOYED = {"CLAUDE_MEM_SERVER_PROVIDER": "claude", "ANTHROPIC_API_KEY": "not-a-key"}


def address_of(listener: socket.socket) -> str:
    """Of a PostgreSQL in the place of a listener."""
    return f"postgresql://user@127.0.0.1:{listener.getsockname()[1]}/memory"


def refused_within_ten_seconds(*command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """How a command ended that gave PostgreSQL up in time: on a busy machine one may take longer, and not each."""
    ended: list[subprocess.CompletedProcess[str]] = []

    def in_time() -> bool:
        began = time.monotonic()
        port = str(free_port())
        ended[:] = [claude_mem(*command, expect=5, CLAUDE_MEM_SERVER_PORT=port, **DEPLOYED, **env)]
        return time.monotonic() - began < 10

    wait_until(in_time, what=f"{' '.join(command)} to give up within ten seconds")
    return ended[0]


@pytest.mark.parametrize("command", [["--daemon"], ["worker", "start"], ["api-key", "list"], ["migrate"]])
def test_an_unreachable_postgres_is_told_within_ten_seconds(command: list[str]) -> None:
    url = f"postgresql://user:pass-word@127.0.0.1:{free_port()}/memory"
    done = refused_within_ten_seconds(*command, CLAUDE_MEM_SERVER_DATABASE_URL=url)
    assert "PostgreSQL does not answer" in done.stderr
    assert "CLAUDE_MEM_SERVER_DATABASE_URL" in done.stderr
    assert "pass-word" not in done.stderr


@pytest.mark.parametrize("command", [["--daemon"], ["worker", "start"]])
def test_a_silent_postgres_is_told_within_ten_seconds_and_does_not_keep_a_signal_waiting(
    command: list[str], processes: ProcessGroup
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        refused_within_ten_seconds(*command, CLAUDE_MEM_SERVER_DATABASE_URL=address_of(silent))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(ANSWERED_S)
        # Whoever is signalled would go on waiting, however long the signal takes.
        env = DEPLOYED | PATIENT_WITH_POSTGRES | {"CLAUDE_MEM_SERVER_DATABASE_URL": address_of(silent)}
        env["CLAUDE_MEM_SERVER_PORT"] = str(free_port())
        process = processes.start(PROGRAM, "server", *command, env=env)
        with silent.accept()[0]:
            assert process.terminate() == 0


def impatiently(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What came of a command of the server's that waits for no start."""
    return subprocess.run(
        [*giving(0), "server", *arguments],
        capture_output=True,
        check=False,
        text=True,
        timeout=PATIENCE_S,
    )


def waiting_for(silent: socket.socket) -> dict[str, str]:
    """The environment of a server that does not start before this PostgreSQL says something."""
    return DEPLOYED | {
        "CLAUDE_MEM_SERVER_DATABASE_URL": address_of(silent),
        "CLAUDE_MEM_POSTGRES_CONNECTION_TIMEOUT_MS": "3600000",
    }


def test_a_server_that_is_long_in_starting_is_told_of_found_and_ended(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with much to migrate; here with a PostgreSQL that says nothing."""
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(PATIENCE_S)
        for name, value in waiting_for(silent).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("CLAUDE_MEM_SERVER_PORT", str(port))
        started = impatiently("start", "--daemon")
        pid = json.loads(started.stdout)["pid"]
        assert started.returncode == 5
        assert f"process {pid} is still starting after 0 s" in started.stderr
        assert str(data_dir / "logs" / "server.log") in started.stderr

        with silent.accept()[0]:
            assert not (data_dir / state.PID_FILE).exists()
            found = json.loads(claude_mem("status", "--json").stdout)
            assert (found["status"], found["pid"], found["port"]) == ("starting", pid, port)
            assert claude_mem("status").stdout.splitlines()[:2] == [
                "Server is starting",
                f"  PID: {pid}",
            ]
            for command in (["start", "--daemon"], ["start"]):
                again = impatiently(*command)
                assert (again.returncode, json.loads(again.stdout)["pid"]) == (5, pid)
                assert f"process {pid} is still starting" in again.stderr
            refused = claude_mem("--daemon", expect=1)
            assert (
                f"this data directory's own server, process {pid}, which is still starting" in refused.stderr
            )
            # Of SQLite, as the silent database would keep it.
            doctor = claude_mem("doctor", "--json", CLAUDE_MEM_SERVER_DATABASE_URL="")
            checks = json.loads(doctor.stdout)["checks"]
            said = {check["name"]: (check["status"], check["message"]) for check in checks}
            assert said["port"] == ("ok", f"{port} is this data directory's server, process {pid}")
            assert said["server"] == ("warn", "it is still starting, as with much to migrate")

            assert claude_mem("stop").stdout == "Server stopped\n"
        assert claude_mem("status").stdout == "Server is not running\n"
        assert not (data_dir / state.STARTING_FILE).exists()


def test_a_start_waits_for_one_that_is_under_way(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, processes: ProcessGroup
) -> None:
    monkeypatch.setenv("CLAUDE_MEM_SERVER_PORT", str(free_port()))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(PATIENCE_S)
        env = waiting_for(silent)
        begun = processes.start(PROGRAM, "server", "--daemon", env=env)
        with silent.accept()[0]:
            waiting = processes.start(*giving(3600), "server", "start", "--daemon", env=env)
            waiting.wait_for_line(f'"pid": {begun.pid}')
            begun.kill()
            assert waiting.wait() == 1
    assert f"process {begun.pid}, which was starting, has ended" in waiting.stderr
    assert state.read_starting(data_dir) is None


def test_development_settings_end_a_container_with_the_words_that_are_looked_for() -> None:
    done = claude_mem(
        "--daemon",
        expect=1,
        CLAUDE_MEM_DOCKER="1",
        CLAUDE_MEM_AUTH_MODE="local-dev",
        CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS="1",
    )
    assert "local-dev is not allowed in Docker" in done.stderr


def test_a_worker_says_that_it_runs_listens_nowhere_and_ends_well(
    storage: str, processes: ProcessGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    if storage == "postgres":
        monkeypatch.setenv("CLAUDE_MEM_SERVER_PROVIDER", "claude")
        monkeypatch.setenv("ANTHROPIC_API_KEY", "not-a-key")
    monkeypatch.setenv("CLAUDE_MEM_GENERATION_DISABLED", "true")
    worker = processes.start(PROGRAM, "server", "worker", "start")
    worker.wait_for_line(r'"status": "worker-running"', timeout=150)
    said = json.loads(worker.stdout)
    assert said["runtime"] == "server-beta"
    assert not is_listening(int(os.environ["CLAUDE_MEM_SERVER_PORT"]))
    _, url = serving(processes)

    def workers() -> int:
        return sum(
            'claude_mem_worker_concurrency{worker="' in line
            for line in httpx.get(f"{url}/metrics", timeout=ANSWERED_S).text.splitlines()
        )

    wait_until(lambda: workers() == 1, what="a server to tell the worker's figures")
    assert worker.terminate() == 0
    # At once if it could say so within two seconds, and else when it has been silent for too long.
    wait_until(lambda: workers() == 0, what="a server to tell of it no longer")


def test_a_worker_without_a_provider_refuses_to_start(storage: str) -> None:
    if storage == "postgres":
        done = claude_mem("worker", expect=1)
        assert "CLAUDE_MEM_SERVER_PROVIDER" in done.stderr


def test_a_data_directory_that_cannot_be_one_is_said(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    env = {"CLAUDE_MEM_DATA_DIR": str(file / "data"), "CLAUDE_MEM_SERVER_PORT": str(free_port())}
    assert "Not a directory" in claude_mem("--daemon", expect=1, **env).stderr
    assert "Not a directory" in claude_mem("start", "-d", expect=1, **env).stderr
    checks = json.loads(claude_mem("doctor", "--json", expect=1, **env).stdout)["checks"]
    assert {check["name"] for check in checks if check["status"] == "fail"} >= {"data directory"}


def examined(**env: str) -> subprocess.CompletedProcess[str]:
    """What the doctor says once it finds all well: it waits for a server for five seconds, not for a busy machine."""
    found: list[subprocess.CompletedProcess[str]] = []

    def well() -> bool:
        command = [PROGRAM, "server", "doctor", "--json"]
        found[:] = [
            subprocess.run(
                command, capture_output=True, check=False, env=os.environ | env, text=True, timeout=200
            )
        ]
        return found[0].returncode == 0

    wait_until(well, what="the doctor to find all well", timeout=120)
    return found[0]


def test_the_doctor_finds_a_running_server_well(storage: str, processes: ProcessGroup) -> None:
    before = json.loads(claude_mem("doctor", "--json").stdout)["checks"]
    assert {check["name"]: check["status"] for check in before}["database"] == "warn"
    serving(processes)
    report = json.loads(examined().stdout)
    found = {check["name"]: check["status"] for check in report["checks"]}
    assert report["ok"]
    assert (found["database"], found["port"], found["server"]) == ("ok", "ok", "ok")
    elsewhere = json.loads(examined(CLAUDE_MEM_DATA_DIR=os.environ["CLAUDE_MEM_DATA_DIR"] + "-other").stdout)
    said = {check["name"]: check["message"] for check in elsewhere["checks"]}
    assert "a claude-mem server has it" in said["port"]
    assert "is ready" in said["server"]


def test_the_doctor_names_what_is_wrong_and_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        report = claude_mem(
            "doctor",
            expect=1,
            CLAUDE_MEM_SERVER_DATABASE_URL=f"postgresql://user@127.0.0.1:{free_port()}/memory",
            CLAUDE_MEM_QUEUE_ENGINE="dramatiq",
            CLAUDE_MEM_REDIS_URL=f"redis://127.0.0.1:{free_port()}",
            CLAUDE_MEM_SERVER_PORT=str(other.getsockname()[1]),
        ).stdout
    for line in (
        "fail database: PostgreSQL does not answer",
        "fail queue: Valkey does not answer",
        "warn provider: no provider is configured",
        "fail port: another program listens",
        "next: start it, or correct CLAUDE_MEM_REDIS_URL",
    ):
        assert line in report


def test_the_schema_is_checked_and_brought_up_to_date(storage: str) -> None:
    unmade = json.loads(claude_mem("migrate", "--check", "--json", expect=1).stdout)
    assert (unmade["version"], unmade["current"]) == (None, False)
    assert unmade["pending"]
    done = json.loads(claude_mem("migrate", "--json").stdout)
    assert done["applied"] == list(range(1, done["version"] + 1))
    made = json.loads(claude_mem("migrate", "--check", "--json").stdout)
    assert (made["version"], made["current"], made["pending"]) == (done["version"], True, [])
    assert "nothing; it was current" in claude_mem("migrate").stdout


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "claude_mem", "server", "status", "--json"],
        capture_output=True,
        check=True,
        text=True,
    )
    assert json.loads(done.stdout) == {"status": "stopped"}


def test_a_stopped_process_of_another_start_is_not_taken_for_the_server(data_dir: Path) -> None:
    """A file left by a crash may name a pid that somebody else has by now."""
    data_dir.mkdir(parents=True)
    left = {"pid": os.getpid(), "port": 1, "startedAt": "2026-01-01T00:00:00.000Z", "startToken": "1"}
    (data_dir / state.PID_FILE).write_text(json.dumps(left))
    assert claude_mem("stop").stdout == "Server is not running\n"
    wait_until(lambda: state.read(data_dir) is None, what="the stale file to count as none")
