"""Two memories do not touch; a bad change is told, and heals when it is taken back; what deletion keeps is found again."""

from __future__ import annotations

from typing import Any

import pytest

from claude_mem_operator.kube.kinds import DEPLOYMENT, SECRET, VOLUME_CLAIM
from claude_mem_operator.kube.port import Manifest, ObjectRef
from tests.cluster.conftest import Memories
from tests.support.checklist import Keys, event_body
from tests.support.kube.memory import Memory, sample, small

#: Seconds until a pod that fits no node is told of, on a busy machine: half a minute passes before that is a failure.
TOLD_S = 300.0
NOWHERE = {"nodeSelector": {"example.com/no-such-node": "yes"}}
NO_SUCH_IMAGE = {"image": "claude-mem-runtime:no-such-tag", "imagePullPolicy": "Never"}


@pytest.fixture(scope="module")
def neighbour(memories: Memories, memory: Memory) -> Memory:
    """Another memory of the same name, in another namespace."""
    made = memories.make(memory.name)
    made.create(small())
    made.settle()
    return made


def versions(memory: Memory) -> dict[str, Any]:
    """The generations of all children, which a change of their specs raises.

    Of the workers the autoscaler changes the number, so theirs is the spec without it.
    """
    found: dict[str, Any] = {}
    for ref, live in memory.children().items():
        workers = ref == ObjectRef(DEPLOYMENT, memory.namespace, f"{memory.name}-worker")
        version = live["spec"] | {"replicas": None} if workers else live["metadata"].get("generation")
        found[str(ref)] = live["metadata"]["uid"], version
    return found


def test_a_key_of_one_opens_nothing_of_the_other(neighbour: Memory, memory: Memory, keys: Keys) -> None:
    assert memory.call("GET", "/v1/jobs?limit=1", keys.full).status_code == 200
    assert neighbour.call("GET", "/v1/jobs?limit=1", keys.full).status_code in {401, 403}


def is_told(memory: Memory, words: str) -> bool:
    """Whether a status is of a degraded resource, for a reason in these words."""
    status = memory.get().get("status") or {}
    told: Manifest = next((one for one in status.get("conditions", []) if one["type"] == "Degraded"), {})
    return words in told.get("message", "") and status["phase"] == "Degraded"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (NO_SUCH_IMAGE, "no-such-tag"),
        ({"worker": NOWHERE, "server": NOWHERE}, "fits no node"),
        ({"postgres": {"managed": NO_SUCH_IMAGE}}, "no-such-tag"),
        ({"valkey": {"managed": NOWHERE}}, "fits no node"),
    ],
    ids=["image", "deployments", "postgres", "valkey"],
)
def test_a_bad_change_is_told_and_heals_when_it_is_taken_back(
    neighbour: Memory, change: Manifest, words: str
) -> None:
    serves = "managed" not in str(change)
    with neighbour.restored():
        neighbour.patch(change)
        neighbour.wait(lambda: is_told(neighbour, words), what="the reason", timeout=TOLD_S)
        if serves:
            assert neighbour.call("GET", "/healthz").status_code == 200
    neighbour.settle()
    neighbour.wait(lambda: neighbour.answers("/readyz", 200), what="all stores to answer")


def test_the_end_of_one_is_nothing_to_the_other_and_leaves_nothing(neighbour: Memory, memory: Memory) -> None:
    memory.settle()
    before, uid = versions(memory), neighbour.get()["metadata"]["uid"]
    neighbour.delete()
    neighbour.wait(lambda: not neighbour.children_of(uid), what="the end of all its children")
    neighbour.wait(lambda: not neighbour.api.list(VOLUME_CLAIM, neighbour.namespace), what="no volumes")
    neighbour.wait(lambda: not neighbour.pods(), what="no pods")
    left = {one["metadata"]["name"] for one in neighbour.api.list(SECRET, neighbour.namespace)}
    assert left == {"anthropic"}
    assert versions(memory) == before
    memory.settle()


def test_what_is_retained_is_taken_up_again(memory: Memory, keys: Keys) -> None:
    """Of a resource whose policy is to retain, volumes and their credentials stay; a new one has its memories."""
    event = memory.ok("POST", "/v1/events?wait=true", keys.full, event_body(keys.project, "kept"), status=201)
    assert event["generationJob"]["status"] == "completed"
    found = memory.get()
    uid, wanted = found["metadata"]["uid"], {**sample("minimal"), "spec": found["spec"]}
    memory.delete()
    retained = {"PersistentVolumeClaim", "Secret"}
    memory.wait(
        lambda: {ref.kind.kind for ref in memory.children_of(uid)} <= retained, what="the end of the rest"
    )
    claims = {one["metadata"]["name"] for one in memory.api.list(VOLUME_CLAIM, memory.namespace)}
    assert f"data-{memory.name}-postgres-0" in claims
    memory.create(wanted)
    memory.settle()
    path = f"/v1/events/{event['event']['id']}/observations"
    assert len(memory.ok("GET", path, keys.full)["observations"]) == 1
    assert memory.call("GET", "/v1/info", memory.secret()["api-key"]).status_code == 200
