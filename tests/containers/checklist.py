"""The steps of the end-to-end checklist that hold after every start."""

from __future__ import annotations

import json
from typing import Any

from tests.containers.stack import SERVER, WORKER, Keys, Stack, event_body

_PROCESSES = """
import json, os, pathlib
own = str(os.getpid())
found = [p for p in pathlib.Path("/proc").iterdir() if p.name.isdigit() and p.name != own]
print(json.dumps([(p / "cmdline").read_bytes().decode().split("\\0") for p in found]))
"""

_PING = """
import socket
with socket.create_connection(("valkey", 6379), 5) as connection:
    connection.sendall(b"*1\\r\\n$4\\r\\nPING\\r\\n")
    print(connection.recv(64))
"""


def check_ready(stack: Stack) -> None:
    """P1."""
    assert stack.ok("GET", "/healthz") == {"status": "ok", "runtime": "server-beta"}
    assert stack.ok("GET", "/api/readiness")["status"] == "ready"


def check_queue_health(stack: Stack) -> None:
    """P2."""
    queue = stack.ok("GET", "/api/health")["queue"]
    assert queue["engine"] == "bullmq"
    assert queue["redis"]["status"] == "ok"


def check_info(stack: Stack) -> None:
    """P3."""
    info = stack.ok("GET", "/v1/info")
    assert info["runtime"] == "server-beta"
    assert info["postgres"]["initialized"] is True
    assert info["boundaries"]["queueManager"]["status"] == "active"
    assert info["authMode"] == "api-key"


def check_valkey_ping(stack: Stack) -> None:
    """P4."""
    assert stack.python(SERVER, _PING).strip() == repr(b"+PONG\r\n")


def check_processes(stack: Stack) -> None:
    """S2: in both containers the product is the only process, under its own name."""
    for service, arguments in ((SERVER, ["server", "--daemon"]), (WORKER, ["server", "worker", "start"])):
        processes: list[list[str]] = json.loads(stack.python(service, _PROCESSES))
        assert len(processes) == 1, processes
        words = [word for word in processes[0] if word]
        assert words[-len(arguments) :] == arguments
        assert words[-len(arguments) - 1].endswith("/claude-mem")


def start_session(stack: Stack, keys: Keys, name: str) -> dict[str, Any]:
    """P8 and Q2."""
    body = {"projectId": keys.project, "contentSessionId": name, "platformSource": "docker-e2e"}
    session: dict[str, Any] = stack.ok("POST", "/v1/sessions/start", keys.full, body, status=201)["session"]
    assert session["id"]
    assert session["projectId"] == keys.project
    return session


def post_and_wait(stack: Stack, keys: Keys, mark: str) -> dict[str, Any]:
    """P9 and Q3."""
    body = event_body(keys.project, mark)
    answer: dict[str, Any] = stack.ok("POST", "/v1/events?wait=true", keys.full, body, status=201)
    assert answer["event"]["id"]
    assert answer["generationJob"] is not None
    return answer
