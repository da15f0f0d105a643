"""What anybody changes or deletes is put right, and nothing is written while all is as it should be.

How long each took is a property of its test in the report; `make bench-operator` measures it without anything beside it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from claude_mem_operator.kube import kinds
from claude_mem_operator.kube.port import Kind, Manifest, ObjectRef
from tests.support.kube.memory import Memory
from tests.support.kube.release import Release

Recorded = Callable[[str, object], None]

#: One edit of each kind of child, in a field that the operator sets. Pods of the workloads do not change by them.
EDITS: dict[Kind, Manifest] = {
    kinds.SERVICE_ACCOUNT: {"automountServiceAccountToken": True},
    kinds.SERVICE: {"spec": {"ports": [{"port": 1, "name": "http", "targetPort": "http"}]}},
    kinds.DEPLOYMENT: {"spec": {"revisionHistoryLimit": 9}},
    kinds.STATEFUL_SET: {"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}},
    kinds.AUTOSCALER: {"spec": {"maxReplicas": 99}},
    kinds.DISRUPTION_BUDGET: {"spec": {"maxUnavailable": 99}},
    kinds.NETWORK_POLICY: {"spec": {"ingress": []}},
    kinds.SECRET: {"metadata": {"labels": {"app.kubernetes.io/component": None}}},
}

#: Optional parts: what turns each on or off, and the kind and name of a child that then comes or goes.
TOGGLES: tuple[tuple[Manifest, Kind, str], ...] = (
    ({"server": {"podDisruptionBudget": {"enabled": False}}}, kinds.DISRUPTION_BUDGET, "server"),
    ({"worker": {"podDisruptionBudget": {"enabled": False}}}, kinds.DISRUPTION_BUDGET, "worker"),
    ({"worker": {"autoscaling": {"enabled": False}}}, kinds.AUTOSCALER, "worker"),
    ({"networkPolicy": {"enabled": False}}, kinds.NETWORK_POLICY, "server"),
    ({"server": {"ingress": {"host": "memory.example.com", "path": "/"}}}, kinds.INGRESS, "server"),
)


def stable(live: Manifest) -> Manifest:
    """What of a child does not depend on when it was made and by whom it was touched."""
    metadata = live["metadata"]
    kept = {name: metadata.get(name) for name in ("name", "labels", "ownerReferences")}
    return {
        **{name: part for name, part in live.items() if name not in {"metadata", "status"}},
        "metadata": kept,
    }


def snapshot(memory: Memory) -> dict[str, Manifest]:
    """All children, but for what the autoscaler decides and the addresses that the cluster gives."""
    found = {str(ref): stable(live) for ref, live in memory.children().items()}
    for live in found.values():
        spec: dict[str, Any] = live.get("spec", {})
        if live["kind"] in {"Deployment", "Service"}:
            for name in ("replicas", "clusterIP", "clusterIPs"):
                spec.pop(name, None)
    return found


def children_of(memory: Memory, kind: Kind) -> list[ObjectRef]:
    return [ref for ref in memory.children() if ref.kind == kind]


def test_nothing_is_written_while_all_is_as_it_should_be(memory: Memory, release: Release) -> None:
    """A look is caused by a label of the resource, which changes nothing that is asked for.

    What the autoscaler sees of its metrics may change at any time, and the status tells of it: then there are more looks.
    """
    memory.settle()
    labels = itertools.count()

    def look() -> None:
        before = release.reconciles()
        memory.api.patch(memory.ref, {"metadata": {"labels": {"example.com/look": str(next(labels))}}})
        memory.wait(lambda: release.reconciles() > before, what="a look")

    def looks_cost_nothing() -> bool:
        before = release.writes()
        for _ in range(3):
            look()
        return release.writes() == before

    memory.wait(looks_cost_nothing, what="three looks without a write")


def test_a_change_of_a_field_reaches_its_child(memory: Memory, record_property: Recorded) -> None:
    def annotation() -> str | None:
        found = memory.service()["metadata"].get("annotations") or {}
        return found.get("example.com/reached")

    memory.patch({"server": {"service": {"annotations": {"example.com/reached": "yes"}}}})
    record_property("seconds", memory.wait(lambda: annotation() == "yes", what="the annotation"))
    memory.patch({"server": {"service": {"annotations": {"example.com/reached": None}}}})
    memory.wait(lambda: annotation() is None, what="no annotation")


@pytest.mark.parametrize("kind", EDITS, ids=lambda kind: kind.kind)
def test_an_edited_child_is_put_right(memory: Memory, kind: Kind, record_property: Recorded) -> None:
    memory.settle()
    before = snapshot(memory)
    names = children_of(memory, kind)
    assert names
    for ref in names:
        memory.api.patch(ref, EDITS[kind])
        edited = memory.api.get(ref)
        assert edited is not None
        took = memory.wait(
            lambda one=ref: snapshot(memory).get(str(one)) == before[str(one)],  # type: ignore[misc]
            what=f"{ref}, as it was",
        )
        record_property(f"seconds of {ref.name}", took)
    memory.settle()
    assert snapshot(memory) == before


@pytest.mark.parametrize(
    "kind",
    [
        kinds.SERVICE_ACCOUNT,
        kinds.SERVICE,
        kinds.AUTOSCALER,
        kinds.DISRUPTION_BUDGET,
        kinds.NETWORK_POLICY,
        kinds.JOB,
        kinds.DEPLOYMENT,
        kinds.STATEFUL_SET,
    ],
    ids=lambda kind: kind.kind,
)
def test_a_deleted_child_comes_back(memory: Memory, kind: Kind, record_property: Recorded) -> None:
    memory.settle()
    before = snapshot(memory)
    for ref in children_of(memory, kind):
        old = memory.api.get(ref)
        assert old is not None
        memory.api.delete(ref)

        def is_back(one: ObjectRef = ref, uid: str = old["metadata"]["uid"]) -> bool:
            found = memory.api.get(one)
            return found is not None and found["metadata"]["uid"] != uid

        record_property(f"seconds of {ref.name}", memory.wait(is_back, what=f"{ref}, made again"))
        memory.settle()
    after = snapshot(memory)
    for live in (*before.values(), *after.values()):
        # A Job's pods carry the uid of the Job, a node port is the cluster's choice, a restart was somebody's wish.
        _forget_choices(live)
    assert after == before


def test_optional_parts_come_and_go_and_leave_what_a_fresh_resource_has(memory: Memory) -> None:
    memory.settle()
    before = snapshot(memory)
    with memory.restored():
        for change, kind, component in TOGGLES:
            ref = ObjectRef(kind, memory.namespace, f"{memory.name}-{component}")
            was_there = memory.api.get(ref) is not None
            memory.patch(change)
            memory.wait(
                lambda one=ref, was=was_there: (memory.api.get(one) is None) == was,  # type: ignore[misc]
                what=f"{ref} to come or go",
            )
    memory.settle()
    memory.wait(lambda: snapshot(memory) == before, what="the objects of a fresh resource")


def _forget_choices(live: Manifest) -> None:
    spec: dict[str, Any] = live.get("spec", {})
    if live["kind"] == "Job":
        spec.pop("selector", None)
        spec["template"]["metadata"].pop("labels", None)
    if live["kind"] == "Deployment":
        spec["template"]["metadata"].get("annotations", {}).pop("kubectl.kubernetes.io/restartedAt", None)
    if live["kind"] == "Service":
        for port in spec["ports"]:
            port.pop("nodePort", None)
