"""Generated Secrets, and those that a resource refers to, against an API server in memory."""

from __future__ import annotations

from claude_mem_operator.engine.reconcile import Engine
from claude_mem_operator.kube.kinds import EVENT, SECRET
from claude_mem_operator.kube.port import ObjectRef
from tests.support.kube_engine import NAMESPACE, condition, converge, engine
from tests.support.kube_memory import MemoryApi
from tests.support.kube_running import POSTGRES, REF, SERVER, WORKER, status


def test_a_secret_is_made_once_and_all_that_refers_to_it_knows_it_from_the_first_run(api: MemoryApi) -> None:
    made: list[str] = []

    def new(kind: str) -> str:
        made.append(kind)
        return f"{kind}-{len(made)}"

    running = engine(api, new_secret=new)
    running.reconcile(REF)
    assert sorted(made) == ["api-key", "postgres-password", "valkey-password"]
    first = api.get(POSTGRES)
    assert converge(running, REF, settle=api.settle).result == "ready"
    assert len(made) == 3
    assert first is not None
    assert api.objects[POSTGRES]["spec"]["template"] == first["spec"]["template"]


def test_a_missing_secret_is_told_and_blocks_nothing(api: MemoryApi, running: Engine) -> None:
    api.delete(ObjectRef(SECRET, NAMESPACE, "anthropic"))
    assert converge(running, REF, settle=api.settle).result == "ready"
    told = condition(status(api), "ConfigurationWarning")
    assert told["reason"] == "ReferenceMissing"
    assert "anthropic" in told["message"]


def test_a_changed_secret_rolls_the_pods_that_read_it_and_no_others(api: MemoryApi, running: Engine) -> None:
    generations = {ref: api.objects[ref]["metadata"]["generation"] for ref in (SERVER, WORKER, POSTGRES)}
    api.edit(ObjectRef(SECRET, NAMESPACE, "anthropic"), lambda live: live.update(data={"api-key": "bmV3"}))
    converge(running, REF, settle=api.settle)
    changed = {ref for ref, was in generations.items() if api.objects[ref]["metadata"]["generation"] != was}
    assert changed == {WORKER}


def test_secret_values_are_in_no_status_and_no_event(api: MemoryApi, running: Engine) -> None:
    api.edit(ObjectRef(SECRET, NAMESPACE, "anthropic"), lambda live: live.update(data={"api-key": "!!"}))
    running.reconcile(REF)
    told = str([live for ref, live in api.objects.items() if ref.kind == EVENT]) + str(status(api))
    assert "generated-" not in told
    assert "c2VjcmV0" not in told
