"""What somebody deletes that cannot be computed again: generated Secrets, the database's volume, and Valkey itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from claude_mem_operator.desired.names import REFERENCES_ANNOTATION
from claude_mem_operator.kube.kinds import DEPLOYMENT, JOB, SECRET, VOLUME_CLAIM
from claude_mem_operator.kube.port import Manifest, ObjectRef
from tests.cluster.conftest import Memories
from tests.support.kube.memory import Memory, small

ELSEWHERE = "elsewhere"


@pytest.fixture(scope="module")
def bereft(memories: Memories) -> Iterator[Memory]:
    """A memory of this module's own, Ready; it ends with the module, while the operator is there."""
    made = memories.make("bereft")
    made.create(small())
    made.settle()
    yield made
    made.delete()


def answer(
    memory: Memory, method: str, path: str, body: object = None, *, key: str = ""
) -> httpx.Response | None:
    """One request with the Secret's key, or with another; None where nobody answers."""
    try:
        return memory.call(method, path, key or memory.secret()["api-key"], body)
    except httpx.TransportError:
        return None


def answers(memory: Memory, path: str, *statuses: int, key: str = "") -> None:
    """Wait for one of these statuses: a pod that was replaced may be asked for a moment after it is gone."""

    def is_so() -> bool:
        found = answer(memory, "GET", path, key=key)
        return found is not None and found.status_code in statuses

    memory.wait(is_so, what=f"{statuses} of {path}")


def remember(memory: Memory, content: str) -> str:
    """Write a memory with nothing but what the key's Secret holds; the path of it."""
    body = {"projectId": memory.secret()["project-id"], "content": content}
    found: list[httpx.Response] = []

    def is_stored() -> bool:
        given = answer(memory, "POST", "/v1/memories", body)
        found[:] = [] if given is None else [given]
        return given is not None and given.status_code == 201

    memory.wait(is_stored, what=f"{content!r} to be taken")
    return f"/v1/memories/{found[0].json()['memory']['id']}"


def object_of(memory: Memory, ref: ObjectRef) -> Manifest:
    found = memory.api.get(ref)
    assert found is not None, ref
    return found


def is_another(memory: Memory, ref: ObjectRef, before: Manifest) -> bool:
    """Whether an object of that name is there again, and is not going."""
    found = memory.api.get(ref)
    return found is not None and found["metadata"]["uid"] != before["metadata"]["uid"]


def last_readers(memory: Memory, name: str) -> list[Any]:
    """What of the last children to be changed tells that they read another value of a Secret."""
    kind = JOB if name == "api-key" else DEPLOYMENT
    return [
        live["spec"]["template"]["metadata"]["annotations"][REFERENCES_ANNOTATION]
        for ref, live in sorted(memory.children().items(), key=lambda child: child[0].name)
        if ref.kind == kind
    ]


@pytest.mark.parametrize(
    ("name", "secret"),
    [("postgres-credentials", "password"), ("valkey-credentials", "password"), ("api-key", "api-key")],
)
def test_a_deleted_secret_is_made_anew_and_the_memories_stay_within_reach(
    bereft: Memory, name: str, secret: str
) -> None:
    bereft.settle()
    key = bereft.secret()["api-key"]
    kept = remember(bereft, f"Written before {name} was deleted.")
    ref = ObjectRef(SECRET, bereft.namespace, f"{bereft.name}-{name}")
    before, read_before = object_of(bereft, ref), last_readers(bereft, name)
    bereft.api.delete(ref)
    bereft.wait(lambda: is_another(bereft, ref, before), what="another Secret")
    assert object_of(bereft, ref)["data"][secret] != before["data"][secret]
    bereft.wait(
        lambda: last_readers(bereft, name) != read_before, what="the last that reads it to be changed"
    )
    bereft.settle()
    answers(bereft, kept, 200)
    remember(bereft, f"Written after {name} was deleted.")
    answers(bereft, "/readyz", 200)
    if name == "api-key":
        assert bereft.secret()["api-key"] != key
        answers(bereft, kept, 401, 403, key=key)
    else:
        assert bereft.secret()["api-key"] == key


def test_a_lost_volume_costs_its_memories_and_nothing_else(bereft: Memory) -> None:
    """The database begins again: schema, team, project and the key of the Secret."""
    bereft.settle()
    lost, secret = remember(bereft, "On the volume that is lost."), bereft.secret()
    claim = ObjectRef(VOLUME_CLAIM, bereft.namespace, f"data-{bereft.name}-postgres-0")
    before = object_of(bereft, claim)
    bereft.api.delete(claim)
    bereft.kill("postgres")
    bereft.wait(lambda: is_another(bereft, claim, before), what="another volume")
    bereft.wait(lambda: _is_migrated_since(bereft, before), what="its migration")
    bereft.settle()
    assert bereft.secret() == secret
    answers(bereft, lost, 404)
    answers(bereft, remember(bereft, "On the new one."), 200)


def _is_migrated_since(memory: Memory, claim: Manifest) -> bool:
    """Whether the only Job there is has succeeded, and is younger than a claim."""
    found = memory.kubectl.json("--namespace", memory.namespace, "get", "jobs")["items"]
    return len(found) == 1 and bool(
        found[0]["status"].get("succeeded")
        and found[0]["metadata"]["creationTimestamp"] > claim["metadata"]["creationTimestamp"]
    )


def test_valkey_moves_away_and_comes_back(bereft: Memory) -> None:
    bereft.settle()
    before = {ref for ref in bereft.children() if ref.kind.kind != "Job"}
    kept = remember(bereft, "Written while Valkey was managed.")
    (valkey,) = bereft.pods("valkey")
    _start_elsewhere(bereft, valkey["spec"]["containers"][0])
    url = {"urlSecretRef": {"name": ELSEWHERE, "key": "url"}}
    with bereft.restored():
        bereft.patch({"valkey": {"managed": None, "external": url}})
        bereft.settle()
        bereft.wait(lambda: not _of_valkey(bereft), what="the end of the managed one's objects")
        bereft.wait(lambda: _clients(bereft), what="somebody to use the other")
        answers(bereft, kept, 200)
    bereft.settle()
    bereft.wait(
        lambda: {ref for ref in bereft.children() if ref.kind.kind != "Job"} == before,
        what="the objects of before",
    )
    answers(bereft, kept, 200)
    answers(bereft, "/readyz", 200)


def _of_valkey(memory: Memory) -> list[ObjectRef]:
    return [ref for ref in memory.children() if ref.name.startswith(f"{memory.name}-valkey")]


def _clients(memory: Memory) -> bool:
    """Whether the other Valkey has a client beside the one that asks."""
    shown = memory.kubectl(
        *("--namespace", memory.namespace, "exec", ELSEWHERE, "--", "valkey-cli", "client", "list")
    )
    return len(shown.splitlines()) > 1


def _start_elsewhere(memory: Memory, container: Manifest) -> None:
    """A Valkey that is none of the operator's business, with an image that the node has."""
    labels = {"app": ELSEWHERE}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": ELSEWHERE, "labels": labels},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 999,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "valkey",
                    "image": container["image"],
                    "command": ["valkey-server", "--save", "", "--protected-mode", "no", "--dir", "/tmp"],
                    "readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 1},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": ELSEWHERE},
        "spec": {"selector": labels, "ports": [{"port": 6379}]},
    }
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": ELSEWHERE},
        "stringData": {"url": f"redis://{ELSEWHERE}:6379/0"},
    }
    memory.kubectl.apply(pod, service, secret, namespace=memory.namespace)
    memory.kubectl.wait(f"pod/{ELSEWHERE}", "condition=Ready", namespace=memory.namespace)
