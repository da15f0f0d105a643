"""What a migration tells when it ends gets into the key's Secret, and only what the resource's own Job told."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from claude_mem_operator.api import ClaudeMemServer
from claude_mem_operator.desired import Identities
from claude_mem_operator.desired.names import Component, selector
from claude_mem_operator.engine.reports import parse
from claude_mem_operator.kube.kinds import JOB, SECRET
from claude_mem_operator.kube.port import Manifest, ObjectRef
from tests.support.kube_engine import NAMESPACE, converge, engine, provider_secret, ref_to, resource
from tests.support.kube_memory import MemoryApi

REF = ref_to()
KEY = ObjectRef(SECRET, NAMESPACE, "memory-api-key")
REPORT = {"teamId": "team-1", "projectId": "project-1", "created": []}


@pytest.fixture
def api() -> MemoryApi:
    """With a resource that is ready, whose migration's pod was gone before anybody looked."""
    made = MemoryApi()
    made.create(provider_secret())
    made.create(resource())
    assert converge(engine(made), REF, settle=made.settle).result == "ready"
    return made


def data(api: MemoryApi) -> dict[str, str]:
    found = api.objects[KEY]["data"]
    return {name: base64.b64decode(value).decode() for name, value in found.items()}


def end(api: MemoryApi, *, owner: str | None = None, exit_code: int = 0, message: str | None = None) -> None:
    """A pod of the migration has ended, by default the Job's own and as it should."""
    (job,) = (ref for ref in api.objects if ref.kind == JOB)
    uid = api.objects[job]["metadata"]["uid"] if owner is None else owner
    ended = {"exitCode": exit_code, "message": json.dumps(REPORT) if message is None else message}
    pod: Manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "migrated",
            "namespace": NAMESPACE,
            "labels": selector(ClaudeMemServer.parse(api.objects[REF]), Component.MIGRATION),
            "ownerReferences": [{"kind": "Job", "name": job.name, "uid": uid}],
        },
        "status": {"containerStatuses": [{"name": "bootstrap", "state": {"terminated": ended}}]},
    }
    api.create(pod)


def test_an_older_secret_gets_the_ids_and_keeps_the_rest(api: MemoryApi) -> None:
    before = data(api)
    assert before.keys() == {"api-key", "project", "team", "url"}
    end(api)
    assert converge(engine(api), REF, settle=api.settle).result == "ready"
    assert data(api) == before | {"team-id": "team-1", "project-id": "project-1"}
    api.writes.clear()
    assert converge(engine(api), REF, settle=api.settle).result == "ready"
    assert api.writes == []


@pytest.mark.parametrize(
    "pod",
    [{"owner": "somebody-else"}, {"exit_code": 1}, {"message": ""}, {"message": '{"teamId": "te'}],
    ids=["foreign", "failed", "silent", "cut-off"],
)
def test_what_is_no_report_of_its_own_job_is_not_taken(api: MemoryApi, pod: dict[str, Any]) -> None:
    before = data(api)
    end(api, **pod)
    assert converge(engine(api), REF, settle=api.settle).result == "ready"
    assert data(api) == before


@pytest.mark.parametrize(
    "message",
    [
        "",
        "null",
        "[]",
        "3",
        '{"teamId": "a"}',
        '{"teamId": "", "projectId": "b"}',
        '{"teamId": 1, "projectId": 2}',
    ],
)
def test_a_message_that_is_no_report_says_nothing(message: str) -> None:
    assert parse(message) is None


def test_a_report_has_both_ids() -> None:
    assert parse(json.dumps(REPORT)) == Identities(team="team-1", project="project-1")
