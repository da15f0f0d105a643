"""Fixtures of the tests in containers: one stack for the whole run, its keys, and what it holds after a restart."""

from __future__ import annotations

import secrets
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.containers import stack as stacks
from tests.containers.stack import Stack
from tests.support.checklist import SERVER, WORKER, Keys, event_body, make_keys
from tests.support.tiers import cannot_run

_STARTED: list[Stack] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("containers")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows the services' logs."""
    report = yield
    if report.failed and call.when == "call":
        report.sections.extend(("services", started.logs()) for started in _STARTED)
    return report


@pytest.fixture(scope="session")
def built() -> str:
    """The runtime image's name; fails, or outside CI skips, where it is not there and says what to run."""
    found = stacks.engine("image", "inspect", stacks.IMAGE, check=False)
    if found.code != 0:
        cannot_run(f"{stacks.IMAGE} is not there: run 'make test-containers'\n{found.stderr}")
    return stacks.IMAGE


@pytest.fixture(scope="session")
def stack(built: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole stack, brought up as the documentation says, with the fake language model as its provider."""
    started = Stack(
        tmp_path_factory.mktemp("stack"),
        project=f"claude-mem-test-{secrets.token_hex(3)}",
        variables={
            "CLAUDE_MEM_SERVER_PROVIDER": "openrouter",
            # Set and empty, which is to count as unset: the key is the one under the other name.
            "OPENROUTER_API_KEY": "",
            "CLAUDE_MEM_OPENROUTER_API_KEY": "sk-or-test",
            "CLAUDE_MEM_OPENROUTER_BASE_URL": "http://fake-llm:8080/v1",
            "CLAUDE_MEM_GENERATION_CONCURRENCY": "4",
        },
    )
    _STARTED.append(started)
    try:
        started.up("--build")
        yield started
    finally:
        _STARTED.remove(started)
        started.down()


@pytest.fixture
def llm(stack: Stack) -> Iterator[Stack]:
    """The stack, whose language model a test may steer; afterwards it answers well and at once again."""
    yield stack
    stack.steer_llm()


@pytest.fixture(scope="session")
def keys(stack: Stack) -> Keys:
    """Keys of one project."""
    return make_keys(stack)


@dataclass(frozen=True, slots=True)
class Before:
    """What was stored before the restart."""

    event: str
    session: str
    observation: str
    memory: str


@pytest.fixture(scope="session")
def restarted(stack: Stack, keys: Keys) -> Before:
    """Rows of all kinds are written, a key is revoked, and the server and the worker are restarted."""
    start = {"projectId": keys.project, "contentSessionId": "before", "platformSource": "docker-e2e"}
    session = stack.ok("POST", "/v1/sessions/start", keys.full, start, status=201)["session"]["id"]
    body = event_body(keys.project, "before-the-restart")
    event = stack.ok("POST", "/v1/events?wait=true", keys.full, body, status=201)["event"]["id"]
    observed = stack.ok("GET", f"/v1/events/{event}/observations", keys.full)["observations"]
    note = {"projectId": keys.project, "content": "Kept across restarts."}
    memory = stack.ok("POST", "/v1/memories", keys.full, note, status=201)["memory"]["id"]
    stack.exec(SERVER, "claude-mem", "server", "api-key", "revoke", keys.doomed_id)
    stack.restart(SERVER, WORKER)
    return Before(event, session, observed[0]["id"], memory)
