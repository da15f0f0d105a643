"""The resource `memory` on an API server in memory: its children by name, and what is done to it and asked of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from claude_mem_operator.kube.errors import KubeError
from claude_mem_operator.kube.kinds import DEPLOYMENT, EVENT, JOB, SECRET, STATEFUL_SET, VOLUME_CLAIM
from claude_mem_operator.kube.port import Kind, Manifest, ObjectRef
from tests.support.kube_engine import NAMESPACE, ref_to
from tests.support.kube_memory import MemoryApi

REF = ref_to()
SERVER = ObjectRef(DEPLOYMENT, NAMESPACE, "memory-server")
WORKER = ObjectRef(DEPLOYMENT, NAMESPACE, "memory-worker")
POSTGRES = ObjectRef(STATEFUL_SET, NAMESPACE, "memory-postgres")
VALKEY = ObjectRef(STATEFUL_SET, NAMESPACE, "memory-valkey")
CREDENTIALS = ObjectRef(SECRET, NAMESPACE, "memory-postgres-credentials")
CLAIM = ObjectRef(VOLUME_CLAIM, NAMESPACE, "data-memory-postgres-0")


def change(api: MemoryApi, **spec: Any) -> None:
    """Have the resource ask for something else."""
    api.edit(REF, lambda live: live["spec"].update(spec))


def status(api: MemoryApi) -> Manifest:
    """The resource's status."""
    found: Manifest = api.objects[REF]["status"]
    return found


def events(api: MemoryApi) -> set[str]:
    """The reasons of all Events so far."""
    return {live["reason"] for ref, live in api.objects.items() if ref.kind == EVENT}


def jobs(api: MemoryApi) -> list[ObjectRef]:
    """The Jobs that are there."""
    return [ref for ref in api.objects if ref.kind == JOB]


def image(api: MemoryApi, ref: ObjectRef) -> str:
    """The image of a workload's first container."""
    return str(api.objects[ref]["spec"]["template"]["spec"]["containers"][0]["image"])


def fail_jobs(api: MemoryApi) -> None:
    """Have every Job that has not ended fail, and all else get to where it was asked to be."""
    for ref, live in api.objects.items():
        if ref.kind == JOB and not live.get("status"):
            live["status"] = {"conditions": [{"type": "Failed", "status": "True"}]}
    api.settle()


def refusing(kind: Kind, *, error: KubeError) -> Callable[[str, ObjectRef], None]:
    """A `before_write` that refuses every write of a kind."""

    def refuse(_verb: str, ref: ObjectRef) -> None:
        if ref.kind == kind:
            raise error

    return refuse


def claim(size: str) -> Manifest:
    """PostgreSQL's claim, as its StatefulSet makes it."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": CLAIM.name,
            "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/instance": "memory"},
        },
        "spec": {"resources": {"requests": {"storage": size}}},
    }
