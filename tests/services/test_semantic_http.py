"""Semantic search from end to end: a server and a worker as processes, over HTTP; one worker is killed in its midst."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from hack.embedding_server import serving
from tests.support.databases import Storage
from tests.support.embeddings import vector_of
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer
from tests.support.processes import ProcessGroup, wait_until

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]

PROGRAM = str(Path(sys.executable).with_name("claude-mem"))
#: Seconds that a process may take to start or to do something, on a busy machine.
PATIENCE_S = 240

MADE = "SELECT count(*) FROM observation_vectors WHERE embedding IS NOT NULL"


def embed(texts: Sequence[str]) -> list[list[float]]:
    return [vector_of(text) for text in texts]


@pytest.fixture
def environment(vector_storage: Storage) -> Iterator[dict[str, str]]:
    """For servers and workers over a database with pgvector, and an endpoint."""
    with serving(embed) as url:
        yield {
            **vector_storage.environment,
            "CLAUDE_MEM_EMBEDDINGS_BASE_URL": url,
            "CLAUDE_MEM_EMBEDDINGS_MODEL": "rule-of-words",
            "CLAUDE_MEM_EMBEDDINGS_BATCH": "1",
            "CLAUDE_MEM_EMBEDDINGS_QUERY_TIMEOUT_MS": "60000",
            "CLAUDE_MEM_GENERATION_DISABLED": "true",
            "CLAUDE_MEM_SERVER_PORT": str(free_port()),
            "CLAUDE_MEM_SERVER_PROVIDER": "claude",
            "ANTHROPIC_API_KEY": "none",
        }


def make_key(environment: dict[str, str]) -> dict[str, Any]:
    scopes = "memories:read,memories:write"
    done = subprocess.run(
        [PROGRAM, "server", "api-key", "create", "--name", "k", "--json", "--scope", scopes],
        capture_output=True,
        check=True,
        env=os.environ | environment,
        text=True,
        timeout=PATIENCE_S,
    )
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def test_a_memory_is_found_by_its_meaning_and_without_a_service_by_its_words(
    environment: dict[str, str],
    vector_postgres: PostgresServer,
    vector_storage: Storage,
    processes: ProcessGroup,
) -> None:
    server = processes.start(PROGRAM, "server", "--daemon", env=environment)
    url = f"http://127.0.0.1:{environment['CLAUDE_MEM_SERVER_PORT']}"
    server.wait_for_http(f"{url}/readyz", timeout=PATIENCE_S)
    key = make_key(environment)

    with httpx.Client(
        base_url=url, headers={"Authorization": f"Bearer {key['key']}"}, timeout=PATIENCE_S
    ) as client:

        def search(query: str) -> dict[str, Any]:
            body = {"projectId": key["projectId"], "query": query, "explain": True}
            found: dict[str, Any] = client.post("/v1/search", json=body).raise_for_status().json()
            return found

        contents = ["Credentials are redacted in output", *(f"The parser reads block {n}" for n in range(30))]
        for content in contents:
            body = {"projectId": key["projectId"], "content": content}
            client.post("/v1/memories", json=body).raise_for_status()
        first = processes.start(PROGRAM, "server", "worker", "start", env=environment)
        wait_until(
            lambda: (
                vector_postgres.query(vector_storage.url, "SELECT to_regclass('observation_vectors')")
                == ["observation_vectors"]
                and vector_postgres.query(vector_storage.url, MADE) != ["0"]
            ),
            what="a first vector",
            timeout=PATIENCE_S,
        )
        first.kill_tree()
        # What it held is another's when its time is over; the test has less patience.
        vector_postgres.query(vector_storage.url, "UPDATE observation_vectors SET held_until = now()")
        processes.start(PROGRAM, "server", "worker", "start", env=environment)
        wait_until(
            lambda: vector_postgres.query(vector_storage.url, MADE) == [str(len(contents))],
            what="all vectors",
            timeout=PATIENCE_S,
        )

        answer = search("masked secrets")
        found = answer["observations"][0]
        assert found["content"] == contents[0]
        assert (found["ranks"]["words"], found["ranks"]["meaning"]) == (None, 1)
        assert answer["semantic"] == {"model": "rule-of-words", "used": True, "missing": None}
        metrics = client.get("/metrics").text
        assert 'claude_mem_semantic_searches_total{outcome="fused"} 1.0' in metrics
        assert 'claude_mem_embedding_calls_total{kind="question",outcome="ok"} 1.0' in metrics

    server.terminate()
    elsewhere = environment | {"CLAUDE_MEM_EMBEDDINGS_BASE_URL": f"http://127.0.0.1:{free_port()}/v1"}
    server = processes.start(PROGRAM, "server", "--daemon", env=elsewhere)
    server.wait_for_http(f"{url}/readyz", timeout=PATIENCE_S)
    with httpx.Client(
        base_url=url, headers={"Authorization": f"Bearer {key['key']}"}, timeout=PATIENCE_S
    ) as client:
        body = {"projectId": key["projectId"], "query": "credentials", "explain": True}
        answer = client.post("/v1/search", json=body).raise_for_status().json()
        assert [one["content"] for one in answer["observations"]] == contents[:1]
        assert answer["semantic"]["missing"] == "endpoint_failed"
        assert "ranks" not in answer["observations"][0]
