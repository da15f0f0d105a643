"""The compose file's stack as the tests drive it: docker compose, or what hack/containers puts in its place.

What is to be true of the stack is left to the tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.checklist import SERVER, WORKER
from tests.support.ports import free_port
from tests.support.processes import wait_until

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "hack" / "containers"
SERVICES = (SERVER, WORKER, "postgres", "valkey")
IMAGE = "claude-mem-runtime:local"

#: Characters that a URL would want escaped.
PASSWORD = "p@ss:w/rd%41 x"
DATABASE, USER = "claude-mem", "claude_mem"

#: Seconds that the whole stack may take to answer.
START_S = 300.0
#: Seconds for an answer: more than the server waits for a job at most.
ANSWER_S = 120.0
#: How often a connection that is refused is tried again: for 7.5 seconds, in ever longer steps.
CONNECT_AGAIN = 5

_OURS = ("CLAUDE_MEM_", "POSTGRES_", "ANTHROPIC_", "GEMINI_", "OPENROUTER_", "COMPOSE_")

_ENGINE = "CLAUDE_MEM_CONTAINER_ENGINE"

# Taken when this module is imported: a test's environment has another home, and the cache would be looked for there.
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name == _ENGINE or not name.startswith(_OURS)
}


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


def run(*command: str, timeout: float = 240, check: bool = True) -> Result:
    """Run a command in the checkout.

    Raises: AssertionError with what it wrote, where it fails and ``check`` is set.
    """
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
    assert not check or done.returncode == 0, (
        f"{' '.join(command)} ended with {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    )
    return Result(done.returncode, done.stdout, done.stderr)


def engine(*arguments: str, timeout: float = 240, check: bool = True) -> Result:
    """`docker`, or Podman in its place."""
    return run(str(SCRIPTS / "engine"), *arguments, timeout=timeout, check=check)


def run_image(
    *arguments: str, image: str = IMAGE, options: tuple[str, ...] = (), entrypoint: str | None = None
) -> Result:
    """Run an image in a throwaway container without a network, as the compose file and the chart harden it."""
    chosen = ("--entrypoint", entrypoint) if entrypoint else ()
    return engine(
        *("run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL"),
        *("--tmpfs", "/tmp", *options, *chosen, image, *arguments),
        check=False,
    )


class Stack:
    """One project of the compose file, with a language model beside it, on ports of its own.

    Parameters:
        directory: for the file with its variables.
        project: the compose project, which no other run may have.
        variables: of the compose file, beyond those that it requires.
    """

    def __init__(self, directory: Path, *, project: str, variables: Mapping[str, str] | None = None) -> None:
        self.project = project
        self.url = f"http://127.0.0.1:{free_port()}"
        self.llm_url = f"http://127.0.0.1:{free_port()}"
        self._file = directory / f"{project}.env"
        given = {
            "POSTGRES_USER": USER,
            "POSTGRES_PASSWORD": PASSWORD,
            "POSTGRES_DB": DATABASE,
            "CLAUDE_MEM_PUBLISH": self.url.removeprefix("http://"),
            "FAKE_LLM_PUBLISH": self.llm_url.removeprefix("http://"),
        } | dict(variables or {})
        self._file.write_text("".join(f"{name}='{value}'\n" for name, value in given.items()))
        self._client = httpx.Client(base_url=self.url, timeout=ANSWER_S, trust_env=False)

    def compose(self, *arguments: str, timeout: float = 280, check: bool = True) -> Result:
        """One command of compose on this project."""
        return run(
            str(SCRIPTS / "compose"),
            *("--env-file", str(self._file), "-p", self.project),
            *("-f", "docker-compose.yml", "-f", "tests/containers/compose.yml"),
            *arguments,
            timeout=timeout,
            check=check,
        )

    def up(self, *arguments: str) -> None:
        """Bring the stack up and wait until the server answers."""
        self.compose("up", "-d", *arguments)
        self.wait_for_server()

    def restart(self, *services: str) -> None:
        """Restart services and wait until the server answers."""
        self.compose("restart", *services)
        self.wait_for_server()

    def crash(self, service: str) -> None:
        """Kill the first container of a service as the kernel would, and start it again."""
        container = self.containers(service)[0]
        engine("kill", "--signal", "KILL", container)
        # Podman's "stopped" comes before: then its file system is still to be taken down, also under a new process.
        wait_until(
            lambda: self.inspect(container)["State"]["Status"] == "exited", what=f"the end of {service}"
        )
        engine("start", container)

    def down(self) -> None:
        """Take everything away, volumes too."""
        self._client.close()
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "10")

    def wait_for_server(self) -> None:
        """Wait until the server answers inside its container and from outside."""
        wait_until(self._answers, what="/healthz", timeout=START_S)

    def containers(self, service: str, *, running: bool = False) -> list[str]:
        """The ids of a service's containers, in the order of their numbers."""
        labels = [f"label=com.docker.compose.project={self.project}"]
        labels.append(f"label=com.docker.compose.service={service}")
        filters = [part for label in labels for part in ("--filter", label)]
        everything = () if running else ("--all",)
        form = ("--no-trunc", "--format", "{{.Names}} {{.ID}}")
        listed = engine("ps", *everything, *filters, *form).stdout.splitlines()
        return [line.split()[1] for line in sorted(listed)]

    def inspect(self, container: str) -> dict[str, Any]:
        """What the engine knows of a container."""
        found: list[dict[str, Any]] = json.loads(engine("inspect", container).stdout)
        return found[0]

    def exec(self, service: str, *command: str, check: bool = True) -> Result:
        """Run a command in the first container of a service."""
        return engine("exec", self.containers(service)[0], *command, check=check)

    def output(self, service: str, *command: str) -> str:
        """What a command writes in the first container of a service; it has to succeed."""
        return self.exec(service, *command).stdout

    def sql(self, statement: str) -> str:
        """The one value that a statement gives."""
        host = ("--host=127.0.0.1", f"--username={USER}", f"--dbname={DATABASE}")
        psql = ("env", f"PGPASSWORD={PASSWORD}", "psql", *host, "--tuples-only", "--no-align")
        return self.exec("postgres", *psql, "--command", statement).stdout.strip()

    def call(self, method: str, path: str, key: str | None = None, body: object = None) -> httpx.Response:
        """One request to the server."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return self._client.request(method, path, headers=headers, json=body)

    def ok(
        self, method: str, path: str, key: str | None = None, body: object = None, *, status: int = 200
    ) -> Any:
        """One request that has to succeed; its JSON."""
        answer = self.call(method, path, key, body)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def steer_llm(self, mode: str = "ok", *, delay_ms: int = 0) -> None:
        """How the language model answers from now on."""
        body = {"mode": mode, "delay_ms": delay_ms}
        # It listens a moment after its container has started, for which nobody waits.
        transport = httpx.HTTPTransport(retries=CONNECT_AGAIN)
        with httpx.Client(transport=transport, timeout=ANSWER_S, trust_env=False) as client:
            client.post(f"{self.llm_url}/_control", json=body).raise_for_status()

    def logs(self) -> str:
        """The ends of all services' logs, for a test that failed."""
        parts = []
        for service in (*SERVICES, "fake-llm"):
            for container in self.containers(service):
                result = engine("logs", "--tail", "60", container, check=False)
                parts.append(f"--- {service} {container[:12]}\n{result.stdout}{result.stderr}")
        return "\n".join(parts)

    def _answers(self) -> bool:
        try:
            answer = self._client.get("/healthz", timeout=20)
        except httpx.TransportError:
            time.sleep(0.1)
            return False
        return answer.status_code == 200
