"""An operator that looks after named namespaces: with Roles there, and without hands or eyes anywhere else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from claude_mem_operator.kube.kinds import DEPLOYMENT
from claude_mem_operator.kube.port import Manifest, ObjectRef
from tests.cluster.conftest import Memories
from tests.support.kube.memory import Memory, sample, small
from tests.support.kube.release import Release

LOCAL_DEV: Manifest = {
    **sample("minimal")["spec"],
    "server": {"env": [{"name": "CLAUDE_MEM_AUTH_MODE", "value": "local-dev"}]},
}
#: What only the webhook knows to refuse.
SLOW_HEARTBEAT: Manifest = {
    **sample("minimal")["spec"],
    "worker": {"env": [{"name": "CLAUDE_MEM_JOB_HEARTBEAT_SECONDS", "value": "600"}]},
}
REACHED = "example.com/namespaced"


@pytest.fixture(scope="module")
def confined(release: Release, memories: Memories, memory: Memory) -> Iterator[Memory]:
    """A memory in the only namespace that is looked after while this module runs; not there yet."""
    memory.settle()
    made = memories.make("confined")
    release.install(watchNamespaces=[made.namespace])
    yield made
    release.install()
    made.delete()


def annotate(memory: Memory, value: str | None) -> None:
    """Ask for an annotation of the server's Service."""
    memory.patch({"server": {"service": {"annotations": {REACHED: value}}}})


def annotation(memory: Memory) -> str | None:
    found = memory.service()["metadata"].get("annotations") or {}
    return found.get(REACHED)


def test_its_roles_end_at_the_border(release: Release, confined: Memory, memory: Memory) -> None:
    for verb, kind in (
        ("create", "deployments"),
        ("get", "secrets"),
        ("list", "claudememservers.claude-mem.dev"),
    ):
        assert release.may(verb, kind, namespace=confined.namespace), (verb, kind)
        assert not release.may(verb, kind, namespace=memory.namespace), (verb, kind)


def test_a_resource_gets_ready_and_is_kept_so(confined: Memory) -> None:
    confined.create(small())
    confined.settle()
    worker = ObjectRef(DEPLOYMENT, confined.namespace, f"{confined.name}-worker")
    before = confined.api.get(worker)
    assert before is not None
    confined.api.delete(worker)

    def is_back() -> bool:
        found = confined.api.get(worker)
        return found is not None and found["metadata"]["uid"] != before["metadata"]["uid"]

    confined.wait(is_back, what="the deleted child")
    confined.settle()


def test_admission_judges_here_and_nowhere_else(confined: Memory, memory: Memory) -> None:
    # API servers learn of a changed configuration by a watch, each by itself.
    confined.wait(lambda: "HEARTBEAT_SECONDS" in confined.refusal(SLOW_HEARTBEAT), what="the webhook")
    confined.wait(lambda: "local-dev" in confined.refusal(LOCAL_DEV), what="a refusal")
    memory.wait(lambda: not memory.refusal(SLOW_HEARTBEAT), what="no webhook elsewhere")
    memory.wait(lambda: not memory.refusal(LOCAL_DEV), what="no policy elsewhere")


def test_other_namespaces_are_left_alone_until_they_are_looked_after_again(
    release: Release, confined: Memory, memory: Memory
) -> None:
    observed = memory.get()["status"]["observedGeneration"]
    annotate(memory, "asked")
    annotate(confined, "asked")
    confined.wait(lambda: annotation(confined) == "asked", what="the change that is looked after")
    confined.settle()
    assert annotation(memory) is None
    assert memory.get()["status"]["observedGeneration"] == observed
    assert release.refusals() == [], "it did not even try"
    release.install()
    memory.wait(lambda: annotation(memory) == "asked", what="the change that had to wait")
    annotate(memory, None)
    memory.wait(lambda: annotation(memory) is None, what="no annotation")
    memory.settle()
