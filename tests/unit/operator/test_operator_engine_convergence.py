"""The engine against an API server in memory: wherever it is ended, it gets to the same end, and stays there."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from claude_mem_operator.engine.reconcile import Engine
from claude_mem_operator.kube.errors import TooManyRequests, Unavailable
from claude_mem_operator.kube.kinds import (
    AUTOSCALER,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    INGRESS,
    JOB,
    NETWORK_POLICY,
    SECRET,
    SERVICE,
    STATEFUL_SET,
)
from claude_mem_operator.kube.port import Manifest, ObjectRef
from tests.support.kube_engine import (
    NAMESPACE,
    condition,
    converge,
    engine,
    provider_secret,
    ref_to,
    resource,
)
from tests.support.kube_memory import KilledError, MemoryApi

REF = ref_to()


def cluster(**spec: Any) -> MemoryApi:
    api = MemoryApi()
    api.create(provider_secret())
    api.create(resource(**spec))
    api.writes.clear()
    return api


def ready(api: MemoryApi, running: Engine | None = None) -> Engine:
    running = running or engine(api)
    outcome = converge(running, REF, settle=api.settle)
    assert outcome.result == "ready", (outcome, api.objects[REF].get("status"))
    return running


def child(kind: Any, name: str) -> ObjectRef:
    return ObjectRef(kind, NAMESPACE, f"memory-{name}")


def status(api: MemoryApi) -> Manifest:
    found: Manifest = api.objects[REF]["status"]
    return found


def writes_of_children(api: MemoryApi) -> list[tuple[str, ObjectRef]]:
    return [(verb, ref) for verb, ref in api.writes if ref != REF and ref.kind.kind != "Event"]


def test_a_resource_becomes_ready_and_then_costs_no_write() -> None:
    api = cluster()
    running = ready(api)
    assert status(api)["phase"] == "Ready"
    assert {one["status"] for one in status(api)["conditions"] if one["type"] == "Ready"} == {"True"}
    api.writes.clear()
    for _ in range(20):
        assert running.reconcile(REF).result == "ready"
    assert api.writes == []
    # Also for an operator that was just started and remembers nothing.
    assert engine(api).reconcile(REF).result == "ready"
    assert api.writes == []


def killed_after(api: MemoryApi, writes: int) -> None:
    """An operator that is killed at the write after so many."""

    def kill(_verb: str, _ref: ObjectRef) -> None:
        if len(api.writes) >= writes:
            raise KilledError

    api.before_write = kill
    with pytest.raises(KilledError):
        converge(engine(api), REF, settle=api.settle)
    api.before_write = lambda _verb, _ref: None


def test_killed_after_any_write_it_gets_to_the_same_end() -> None:
    untouched = cluster()
    ready(untouched)
    total = len(untouched.writes)
    assert total > 20
    for k in range(total):
        api = cluster()
        killed_after(api, k)
        ready(api)
        events = [name for name in api.plain() if name.startswith("Event ")]
        assert {name: one for name, one in api.plain().items() if name not in events} == {
            name: one for name, one in untouched.plain().items() if not name.startswith("Event ")
        }, f"killed after write {k}"


EXTERNAL = {"external": {"urlSecretRef": {"name": "anthropic", "key": "api-key"}}}


def spec_is(**spec: Any) -> Callable[[MemoryApi], None]:
    """A change of these fields."""
    return lambda api: api.edit(REF, lambda live: live["spec"].update(spec))


def hold_back_an_image(api: MemoryApi) -> None:
    spec_is(paused=True, image="runtime:2", server={"replicas": 3})(api)
    assert engine(api).reconcile(REF).phase == "Paused"


def keep_nothing(api: MemoryApi) -> None:
    spec_is(deletionPolicy="Delete")(api)
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for store in ("postgres", "valkey"):
        metadata = {
            "name": f"data-memory-{store}-0",
            "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/instance": "memory"},
        }
        size = {"resources": {"requests": {"storage": "10Gi" if store == "postgres" else "1Gi"}}}
        api.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": size})
    ready(api)


def lend_valkey(api: MemoryApi) -> None:
    spec_is(valkey=EXTERNAL)(api)
    ready(api)


def nothing(_api: MemoryApi) -> None:
    pass


#: What is so before, the change, and how many writes it takes at least.
CHANGED: dict[str, tuple[Callable[[MemoryApi], None], Callable[[MemoryApi], object], int]] = {
    "image": (nothing, spec_is(image="runtime:2"), 6),
    "valkey elsewhere": (nothing, spec_is(valkey=EXTERNAL), 8),
    "valkey managed": (lend_valkey, lambda api: api.edit(REF, lambda live: live["spec"].pop("valkey")), 8),
    "autoscaling off": (nothing, spec_is(worker={"replicas": 3, "autoscaling": {"enabled": False}}), 4),
    "paused off": (hold_back_an_image, spec_is(paused=False), 6),
    "deleted": (keep_nothing, lambda api: api.delete(REF), 6),
}  # fmt: skip


def changed(before: MemoryApi, change: Callable[[MemoryApi], object]) -> MemoryApi:
    api = copy.deepcopy(before)
    change(api)
    api.writes.clear()
    return api


def arrive(api: MemoryApi) -> dict[str, Manifest]:
    """What is there in the end, but for Events."""
    outcome = converge(engine(api), REF, settle=api.settle)
    assert outcome.result in {"ready", "gone"}, (outcome, api.objects[REF].get("status"))
    return {name: one for name, one in api.plain().items() if not name.startswith("Event ")}


@pytest.mark.parametrize("name", CHANGED)
def test_killed_after_any_write_of_a_change_it_gets_to_the_same_end(name: str) -> None:
    prepare, change, least = CHANGED[name]
    before = cluster()
    ready(before)
    prepare(before)
    untouched = changed(before, change)
    end = arrive(untouched)
    assert end != {name: one for name, one in before.plain().items() if not name.startswith("Event ")}
    total = len(untouched.writes)
    assert total >= least, untouched.writes
    for k in range(total):
        api = changed(before, change)
        killed_after(api, k)
        assert arrive(api) == end, f"killed after write {k}"
        api.writes.clear()
        engine(api).reconcile(REF)
        assert api.writes == []


def test_a_failing_write_is_told_and_tried_again_later_and_later() -> None:
    api = cluster()

    def fail(_verb: str, ref: ObjectRef) -> None:
        if ref.kind == STATEFUL_SET:
            raise Unavailable("the database of the API server is away")

    api.before_write = fail
    running = engine(api)
    pauses = []
    for _ in range(12):
        outcome = running.reconcile(REF)
        assert outcome.result == "problem"
        assert outcome.failed
        assert outcome.requeue_s is not None
        pauses.append(outcome.requeue_s)
    assert pauses[0] < 2
    assert pauses[4] > pauses[0] * 4
    assert max(pauses) <= 300
    assert condition(status(api), "Ready")["reason"] == "ApiUnavailable"
    api.edit(REF, lambda live: live["spec"].update(log={"level": "DEBUG"}))
    again = running.reconcile(REF).requeue_s
    assert again is not None
    assert again < 2, "a new generation begins anew"
    api.before_write = lambda _verb, _ref: None
    ready(api, running)


def test_what_the_server_asks_to_wait_is_waited() -> None:
    api = cluster()

    def busy(_verb: str, ref: ObjectRef) -> None:
        if ref.kind == SECRET:
            raise TooManyRequests("slow down", retry_after=42)

    api.before_write = busy
    outcome = engine(api).reconcile(REF)
    assert outcome.requeue_s is not None
    assert outcome.requeue_s >= 42


@pytest.mark.parametrize(
    ("ref", "path", "value"),
    [
        (child(DEPLOYMENT, "server"), "spec.replicas", 9),
        (child(DEPLOYMENT, "server"), "spec.template.spec.containers.0.image", "evil:1"),
        (child(DEPLOYMENT, "worker"), "spec.template.spec.containers.0.command", ["sleep"]),
        (child(STATEFUL_SET, "postgres"), "spec.template.spec.terminationGracePeriodSeconds", 1),
        (child(SERVICE, "server"), "spec.ports", []),
        (child(NETWORK_POLICY, "postgres"), "spec.ingress", []),
        (child(AUTOSCALER, "worker"), "spec.maxReplicas", 99),
        (child(DISRUPTION_BUDGET, "server"), "spec.maxUnavailable", 7),
        (child(DEPLOYMENT, "server"), "metadata.labels", {}),
        (child(DEPLOYMENT, "server"), "metadata.ownerReferences", []),
    ],
)
def test_an_edit_is_put_back_and_then_nothing_more_is_written(ref: ObjectRef, path: str, value: Any) -> None:
    api = cluster()
    running = ready(api)
    before = api.plain()[str(ref)]

    def change(live: Manifest) -> None:
        *way, last = path.split(".")
        target: Any = live
        for name in way:
            target = target[int(name)] if isinstance(target, list) else target[name]
        target[last] = value

    api.edit(ref, change)
    assert api.plain()[str(ref)] != before
    ready(api, running)
    assert api.plain()[str(ref)] == before
    api.writes.clear()
    ready(api, running)
    assert api.writes == []


def test_every_deleted_child_comes_back() -> None:
    api = cluster(server={"ingress": {"host": "memory.example.org"}})
    running = ready(api)
    before = {name: one for name, one in api.plain().items() if not name.startswith("Event ")}
    children = [
        ref for ref in api.objects if ref != REF and ref.kind.kind != "Event" and ref.name != "anthropic"
    ]
    assert len(children) > 15
    for ref in children:
        api.delete(ref)
        ready(api, running)
        assert str(ref) in api.plain(), f"{ref} came not back"
    after = {name: one for name, one in api.plain().items() if not name.startswith("Event ")}
    assert after.keys() == before.keys()


def test_what_others_put_beside_is_left() -> None:
    api = cluster()
    running = ready(api)

    def restart(live: Manifest) -> None:
        live["spec"]["template"]["metadata"].setdefault("annotations", {})[
            "kubectl.kubernetes.io/restartedAt"
        ] = "now"

    api.edit(child(DEPLOYMENT, "server"), restart)
    api.writes.clear()
    ready(api, running)
    assert writes_of_children(api) == []


def test_optional_children_go_when_they_are_switched_off_and_nothing_is_left_over() -> None:
    plain = cluster()
    ready(plain)
    api = cluster()
    running = ready(api)
    off = {
        "networkPolicy": {"enabled": False},
        "server": {"podDisruptionBudget": {"enabled": False}},
        "worker": {"autoscaling": {"enabled": False}},
    }
    on = {"monitoring": {"enabled": True}, "server": {"ingress": {"host": "memory.example.org"}}}
    for change in (off, on):
        api.edit(REF, lambda live, change=change: live["spec"].update(change))  # type: ignore[misc]
        ready(api, running)
        kinds = {ref.kind for ref in api.objects}
        assert (NETWORK_POLICY in kinds) is (change is on)
        assert (INGRESS in kinds) is (change is on)

        def restore(live: Manifest) -> None:
            live["spec"] = resource()["spec"]

        api.edit(REF, restore)
        ready(api, running)
        assert _comparable(api) == _comparable(plain)


def _comparable(api: MemoryApi) -> dict[str, Manifest]:
    return {
        name: one for name, one in api.plain().items() if not name.startswith(("Event ", "ClaudeMemServer"))
    }


def test_resources_do_not_touch_each_other() -> None:
    api = cluster()
    api.create(provider_secret("other"))
    api.create(resource(namespace="other"))
    running = ready(api)
    mine = {name: one for name, one in api.plain().items() if " team/" in name}
    other = ref_to(namespace="other")
    assert converge(running, other, settle=api.settle).result == "ready"
    assert {name: one for name, one in api.plain().items() if " team/" in name} == mine
    api.delete(other)
    assert converge(running, other).result == "gone"
    assert {name: one for name, one in api.plain().items() if " team/" in name} == mine


def test_a_bad_resource_does_not_block_a_good_one() -> None:
    api = cluster()
    bad = resource(name="bad")
    bad["spec"]["provider"] = {"name": "nobody"}
    api.create(bad)
    running = engine(api)
    assert running.reconcile(ref_to("bad")).result == "problem"
    ready(api, running)
    told = condition(api.objects[ref_to("bad")]["status"], "Ready")
    assert told["reason"] == "InvalidSpec"
    assert "spec.provider" in told["message"]


def test_an_invalid_change_leaves_what_runs() -> None:
    api = cluster()
    running = ready(api)
    before = _comparable(api)
    api.edit(REF, lambda live: live["spec"]["provider"].update(name="nobody"))
    assert running.reconcile(REF).result == "problem"
    assert _comparable(api) == before
    assert condition(status(api), "ServerAvailable")["status"] == "True"
    api.writes.clear()
    for _ in range(5):
        running.reconcile(REF)
    assert api.writes == []


def test_a_job_is_made_once() -> None:
    api = cluster()
    ready(api)
    jobs = [ref for verb, ref in api.writes if ref.kind == JOB and verb == "apply"]
    assert len(jobs) == 1
