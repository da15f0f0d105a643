"""Requests made up from the API's own description: never a 5xx, never an answer that the description does not have.

Each operation is asked with data that fits its description and with data that does not, with ids that exist and with such
as nobody gave. The examples are the same in every run; `SCHEMATHESIS_EXAMPLES` asks for more of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.described import closed_document
from tests.support.http import Server, Storage, Tenant, database_url, event_body

#: Requests of each kind to each operation.
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "6"))

#: Streams have no end; tests of their own read them.
ENDLESS = {"followChanges", "openMcpStream"}

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

SCHEMA = schemathesis.openapi.from_dict(closed_document())


@schemathesis.serializer("application/x-ndjson")
def lines(_context: Any, value: Any) -> Any:
    """Exports are text; what is no text is put into one line of JSON."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return {"data": text.encode("utf-8", "replace")}


OPERATIONS = {
    operation["operationId"]: (path, method)
    for path, methods in closed_document()["paths"].items()
    for method, operation in methods.items()
}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of these tests' own: what they do to it is nobody else's business."""
    kind: Storage = request.param
    # Nobody generates, so who waits would wait in vain.
    environ = {"CLAUDE_MEM_GENERATION_DISABLED": "1", "CLAUDE_MEM_WAIT_TIMEOUT_MS": "50"}
    directory = tmp_path_factory.mktemp("described")
    with Server(directory, database_url=database_url(request, kind), environ=environ) as found:
        yield found


class World:
    """A tenant with one of everything, made anew where an operation has removed it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.tenant: Tenant = server.tenant()
        self.key = self.tenant.star
        self._makers: dict[str, Callable[[], str]] = {
            "events": lambda: self._event()["event"]["id"],
            "jobs": lambda: self._event()["generationJob"]["id"],
            "sessions": lambda: self._made("/v1/sessions/start", {"projectId": self.tenant.project})[
                "session"
            ]["id"],
            "memories": self._memory,
            "keys": lambda: self._made("/v1/keys", {})["id"],
            "retention": lambda: self._made(
                "/v1/retention", {"subject": "events", "maxAgeDays": 36_500, "projectId": self.tenant.project}
            )["rule"]["id"],
            "teams": lambda: self.tenant.team,
            "projects": lambda: self.tenant.project,
        }

    def _made(self, path: str, body: Any) -> Any:
        return self.server.ok("POST", path, self.key, body, status=201)

    def _event(self) -> Any:
        return self._made("/v1/events", event_body(self.tenant.project))

    def _memory(self) -> str:
        found: str = self._made("/v1/memories", {"projectId": self.tenant.project, "content": "c"})["memory"][
            "id"
        ]
        return found

    def parameters(self, path: str) -> dict[str, str]:
        """Values for a path's parameters that lead to something."""
        parts = path.split("/")
        return {
            part[1:-1]: self._makers[before]()
            for before, part in pairwise(parts)
            if part.startswith("{") and before in self._makers
        }

    def lead_somewhere(self, case: Any, path: str) -> None:
        """Put ids that exist in the place of made-up ones."""
        case.path_parameters = (case.path_parameters or {}) | self.parameters(path)
        bodies = case.body if isinstance(case.body, list) else [case.body]
        for members in filter(lambda part: isinstance(part, dict), [case.query, *bodies]):
            members.pop("serverSessionId", None)
            if "projectId" in members:
                members["projectId"] = self.tenant.project


@pytest.fixture(scope="module")
def world(server: Server) -> World:
    return World(server)


def _asked() -> list[tuple[str, GenerationMode]]:
    """Every operation with data that fits, and, where it takes any, with data that does not."""
    described = closed_document()["paths"]
    asked = []
    for name, (path, method) in sorted(OPERATIONS.items()):
        operation = described[path][method]
        if name not in ENDLESS:
            asked.append((name, GenerationMode.POSITIVE))
            if operation["parameters"] or "requestBody" in operation:
                asked.append((name, GenerationMode.NEGATIVE))
    return asked


@pytest.mark.parametrize(("name", "mode"), _asked())
def test_answers_are_as_described(server: Server, world: World, name: str, mode: GenerationMode) -> None:
    path, method = OPERATIONS[name]
    operation = SCHEMA[path][method]
    with requests.Session() as session:
        session.trust_env = False

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode), real=st.booleans())
        def ask(case: Any, real: bool) -> None:
            if real:
                world.lead_somewhere(case, path)
            # Older hooks have keys that are bound to a project.
            key = world.tenant.hook if path.startswith("/api/sessions/") else world.key
            headers = {"Authorization": f"Bearer {key}"}
            response = case.call(base_url=server.url, session=session, headers=headers, timeout=60)
            case.validate_response(response, checks=CHECKS)

        ask()


def test_the_explorer_reaches_what_lies_behind_ids(world: World) -> None:
    """Else the above would pass by meeting nothing but 404."""
    for path in closed_document()["paths"]:
        if "{" in path and path.startswith("/v1/"):
            assert len(world.parameters(path)) == path.count("{"), path
