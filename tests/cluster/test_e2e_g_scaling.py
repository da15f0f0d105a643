"""Workers follow their load: by the autoscaler, without a word of the operator about their number."""

from __future__ import annotations

from claude_mem_operator.kube.kinds import AUTOSCALER, DEPLOYMENT
from claude_mem_operator.kube.port import ObjectRef
from tests.support.checklist import Keys, event_body, unfinished
from tests.support.kube.language_model import LanguageModel
from tests.support.kube.memory import Memory
from tests.support.kube.release import Release

#: Seconds for the autoscaler, which looks every 15 s at figures of the last 15 s to 30 s, and for pods on a busy machine.
SCALED_S = 420.0
BATCH = 100


def replicas(memory: Memory) -> int:
    found = memory.api.get(ObjectRef(DEPLOYMENT, memory.namespace, f"{memory.name}-worker"))
    assert found is not None
    return int(found["spec"]["replicas"])


def utilization(memory: Memory) -> dict[str, int]:
    """What the autoscaler has seen of the workers' use, in percent of their requests."""
    found = memory.api.get(ObjectRef(AUTOSCALER, memory.namespace, f"{memory.name}-worker"))
    assert found is not None
    seen = [
        metric["resource"] for metric in found.get("status", {}).get("currentMetrics") or () if metric["type"]
    ]
    return {one["name"]: one["current"]["averageUtilization"] for one in seen if one["current"]}


def test_a_worker_that_does_nothing_stays_alone(memory: Memory) -> None:
    """By default its memory is looked at too, of which it takes some also then."""
    memory.wait(
        lambda: utilization(memory).keys() == {"cpu", "memory"}, what="both figures", timeout=SCALED_S
    )
    memory.wait(lambda: replicas(memory) == 1, what="one worker", timeout=SCALED_S)


def test_workers_come_under_load_and_go_after_it(
    memory: Memory, keys: Keys, model: LanguageModel, release: Release
) -> None:
    model.steer()
    sent: list[str] = []

    def more_come() -> bool:
        """Whether three are ready; work is kept waiting until then."""
        if unfinished(memory, keys) < BATCH:
            batch = [event_body(keys.project, f"load-{len(sent)}-{number}") for number in range(BATCH)]
            stored = memory.ok("POST", "/v1/events/batch", keys.full, batch, status=201)["events"]
            sent.extend(entry["event"]["id"] for entry in stored)
        return bool(memory.get()["status"]["worker"]["readyReplicas"] == 3)

    memory.wait(more_come, what="three ready workers", timeout=SCALED_S)
    memory.wait(lambda: unfinished(memory, keys) == 0, what="all work done", timeout=SCALED_S)
    writes = release.writes(of_status=False)
    memory.wait(lambda: replicas(memory) == 1, what="one worker", timeout=SCALED_S)
    memory.settle()
    # It has no figures of a worker for a moment, while one comes or goes.
    memory.wait(
        lambda: memory.condition("AutoscalingActive")["status"] == "True", what="figures", timeout=SCALED_S
    )
    # Of the way back the operator only tells.
    assert release.writes(of_status=False) == writes
    for event in (sent[0], sent[-1]):
        assert len(memory.ok("GET", f"/v1/events/{event}/observations", keys.full)["observations"]) == 1


def test_without_the_autoscaler_the_resource_says_how_many(memory: Memory) -> None:
    """And through `kubectl scale`, which is the same field."""
    with memory.restored():
        memory.patch({"worker": {"autoscaling": {"enabled": False}, "replicas": 2}})
        autoscaler = ObjectRef(AUTOSCALER, memory.namespace, f"{memory.name}-worker")
        memory.wait(lambda: memory.api.get(autoscaler) is None, what="the autoscaler's end")
        memory.wait(lambda: replicas(memory) == 2, what="two workers")
        memory.kubectl("--namespace", memory.namespace, "scale", "cms", memory.name, "--replicas=1")
        memory.wait(lambda: replicas(memory) == 1, what="one worker")
        memory.settle()
    memory.settle()
