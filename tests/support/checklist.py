"""The end-to-end checklist of the service, wherever it runs: its callers, and the steps that hold after every start.

How the service is reached, and how a command is run beside it, is left to whoever runs it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from tests.support.processes import wait_until

SERVER, WORKER = "claude-mem-server", "claude-mem-worker"

#: Seconds in which all is well at some time, on a busy machine.
WELL_S = 300.0

FULL_SCOPES = "events:write,sessions:write,observations:read,jobs:read,memories:read,memories:write"
READ_SCOPES = "observations:read,jobs:read,memories:read"

# What the engine starts beside the first process, as this program itself or a health check, has no parent in here.
_PROCESSES = """
import json, pathlib
found = []
for process in pathlib.Path("/proc").iterdir():
    if process.name.isdigit():
        try:
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            words = (process / "cmdline").read_bytes().decode().split("\\0")
        except OSError:
            continue
        if process.name == "1" or parent != "0":
            found.append(words)
print(json.dumps(found))
"""

_PING = """
import os, socket, urllib.parse
url = urllib.parse.urlsplit(os.environ["CLAUDE_MEM_REDIS_URL"])
def ask(*words):
    parts = [b"*%d\\r\\n" % len(words)] + [b"$%d\\r\\n%b\\r\\n" % (len(word), word) for word in words]
    connection.sendall(b"".join(parts))
    return connection.recv(64)
with socket.create_connection((url.hostname, url.port), 60) as connection:
    if url.password:
        ask(b"AUTH", url.password.encode())
    print(ask(b"PING"))
"""


class Service(Protocol):
    """A running service: its HTTP interface, and the containers of its server and workers."""

    def call(self, method: str, path: str, key: str | None = None, body: object = None) -> httpx.Response:
        """One request."""
        ...

    def ok(
        self, method: str, path: str, key: str | None = None, body: object = None, *, status: int = 200
    ) -> Any:
        """One request that has to succeed; its JSON."""
        ...

    def output(self, service: str, *command: str) -> str:
        """What a command writes in a container of `SERVER` or `WORKER`; it has to succeed."""
        ...


@dataclass(frozen=True, slots=True)
class Keys:
    """API keys of one project."""

    project: str
    full: str
    read: str
    doomed: str
    doomed_id: str


def make_key(service: Service, name: str, scopes: str) -> dict[str, Any]:
    """A key as an operator makes one: by the command line, inside the server's container."""
    made = service.output(
        SERVER, "claude-mem", "server", "api-key", "create", "--name", name, "--scope", scopes
    )
    document: dict[str, Any] = json.loads(made)
    return document


def make_keys(service: Service) -> Keys:
    """A key for everything, one for reading, and one that is to be revoked."""
    full, read = make_key(service, "full", FULL_SCOPES), make_key(service, "read", READ_SCOPES)
    doomed = make_key(service, "doomed", FULL_SCOPES)
    assert full["projectId"] == read["projectId"]
    return Keys(full["projectId"], full["key"], read["key"], doomed["key"], doomed["id"])


def event_body(project: str, mark: str) -> dict[str, Any]:
    """An event without a session, so that its provider call is its own."""
    return {
        "projectId": project,
        "sourceType": "api",
        "eventType": "observation.created",
        "occurredAtEpoch": 1_767_225_600_000,
        "memorySessionId": f"memory-{mark}",
        "payload": {"message": f"the {mark} thing was seen", "mark": mark},
    }


def check_ready(service: Service) -> None:
    """P1."""
    assert service.ok("GET", "/healthz") == {"status": "ok", "runtime": "server-beta"}

    def is_ready() -> bool:
        """Whether it says so: where a store gets no processor for two seconds, it says that it is not."""
        answer = service.call("GET", "/api/readiness")
        assert answer.status_code in {200, 503}, answer.text
        return bool(answer.status_code == 200 and answer.json()["status"] == "ready")

    wait_until(is_ready, what="the server to be ready", timeout=WELL_S)


def check_queue_health(service: Service) -> None:
    """P2."""

    def is_well() -> bool:
        """Whether Valkey answered in the two seconds that it is given."""
        queue = service.ok("GET", "/api/health")["queue"]
        assert queue["engine"] == "bullmq"
        return bool(queue["redis"]["status"] == "ok")

    wait_until(is_well, what="Valkey to be well", timeout=WELL_S)


def check_info(service: Service) -> None:
    """P3."""
    info = service.ok("GET", "/v1/info")
    assert info["runtime"] == "server-beta"
    assert info["postgres"]["initialized"] is True
    assert info["boundaries"]["queueManager"]["status"] == "active"
    assert info["authMode"] == "api-key"


def check_valkey_ping(service: Service) -> None:
    """P4."""
    assert service.output(SERVER, "python", "-c", _PING).strip() == repr(b"+PONG\r\n")


def check_processes(service: Service) -> None:
    """S2: in both containers the product is the only process, under its own name."""
    for name, arguments in ((SERVER, ["server", "--daemon"]), (WORKER, ["server", "worker", "start"])):
        processes: list[list[str]] = json.loads(service.output(name, "python", "-c", _PROCESSES))
        assert len(processes) == 1, processes
        words = [word for word in processes[0] if word]
        assert words[-len(arguments) :] == arguments
        assert words[-len(arguments) - 1].endswith("/claude-mem")


def check_strangers_are_refused(service: Service, keys: Keys) -> None:
    """P5 to P7: no key, before the body is looked at; a key nobody made; a key for reading that would write."""
    path, body = "/v1/sessions/start", {"projectId": keys.project, "contentSessionId": "refused"}
    assert service.call("POST", path, body={}).status_code == 401
    assert service.call("POST", path, "cmem_bogus", body).status_code == 403
    assert service.call("POST", path, keys.read, body).status_code == 403


def start_session(service: Service, keys: Keys, name: str) -> dict[str, Any]:
    """P8 and Q2."""
    body = {"projectId": keys.project, "contentSessionId": name, "platformSource": "docker-e2e"}
    session: dict[str, Any] = service.ok("POST", "/v1/sessions/start", keys.full, body, status=201)["session"]
    assert session["id"]
    assert session["projectId"] == keys.project
    return session


def post_and_wait(service: Service, keys: Keys, mark: str) -> dict[str, Any]:
    """P9 and Q3."""
    body = event_body(keys.project, mark)
    answer: dict[str, Any] = service.ok("POST", "/v1/events?wait=true", keys.full, body, status=201)
    assert answer["event"]["id"]
    assert answer["generationJob"] is not None
    return answer


def unfinished(service: Service, keys: Keys) -> int:
    """Jobs that are waiting or under way."""
    totals = [
        service.ok("GET", f"/v1/jobs?limit=1&status={status}", keys.full)["total"]
        for status in ("queued", "processing")
    ]
    return sum(totals)
