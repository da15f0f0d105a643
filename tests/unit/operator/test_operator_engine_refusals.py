"""Children that cannot be had as they are, against an API server in memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from claude_mem_operator.engine.reconcile import Engine
from claude_mem_operator.kube.errors import Forbidden, Invalid, KubeError
from claude_mem_operator.kube.kinds import (
    AUTOSCALER,
    DISRUPTION_BUDGET,
    NETWORK_POLICY,
    SERVICE_ACCOUNT,
    STATEFUL_SET,
)
from claude_mem_operator.kube.port import Kind, ObjectRef
from tests.support.kube_engine import NAMESPACE, condition, converge, engine
from tests.support.kube_memory import MemoryApi
from tests.support.kube_running import (
    POSTGRES,
    REF,
    SERVER,
    VALKEY,
    WORKER,
    change,
    events,
    image,
    jobs,
    refusing,
    status,
)


def test_an_object_of_somebody_else_is_not_touched(api: MemoryApi) -> None:
    foreign = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "memory", "namespace": NAMESPACE},
    }
    api.create(foreign)
    before = api.get(ObjectRef(SERVICE_ACCOUNT, NAMESPACE, "memory"))
    running = engine(api)
    assert running.reconcile(REF).result == "problem"
    assert condition(status(api), "Ready")["reason"] == "NameConflict"
    assert "NameConflict" in events(api)
    assert api.get(ObjectRef(SERVICE_ACCOUNT, NAMESPACE, "memory")) == before
    api.delete(ObjectRef(SERVICE_ACCOUNT, NAMESPACE, "memory"))
    assert converge(running, REF, settle=api.settle).result == "ready"


def test_what_cannot_change_is_told_before_it_is_asked_for(api: MemoryApi, running: Engine) -> None:
    api.edit(POSTGRES, lambda live: live["spec"].update(serviceName="another"))
    api.edit(POSTGRES, lambda live: live["metadata"]["annotations"].pop("claude-mem.dev/applied"))
    api.writes.clear()
    assert running.reconcile(REF).result == "problem"
    told = condition(status(api), "Ready")
    assert told["reason"] == "ImmutableField"
    assert "spec.serviceName" in told["message"]
    assert [ref for _, ref in api.writes if ref == POSTGRES] == []


@pytest.mark.parametrize("error", [Forbidden("no right to do so"), Invalid("a rule is broken")])
@pytest.mark.parametrize("kind", [NETWORK_POLICY, DISRUPTION_BUDGET, AUTOSCALER])
def test_a_refused_child_that_nothing_needs_holds_nothing_up_and_is_told(
    api: MemoryApi, kind: Kind, error: KubeError
) -> None:
    api.before_write = refusing(kind, error=error)
    running = engine(api)
    for _ in range(10):
        outcome = running.reconcile(REF)
        settled = condition(status(api), "WorkersAvailable")["status"] == "True"
        assert outcome.requeue_s is not None
        assert outcome.requeue_s <= 10 or settled, "the bring-up goes on at its own pace"
        api.settle()
    outcome = running.reconcile(REF)
    assert (outcome.result, outcome.failed) == ("problem", True)
    assert {SERVER, WORKER, POSTGRES} <= api.objects.keys()
    told = condition(status(api), "Ready")
    assert told["reason"] == ("Forbidden" if isinstance(error, Forbidden) else "Rejected")
    assert str(error) in told["message"]
    assert condition(status(api), "ServerAvailable")["status"] == "True"
    api.edit(WORKER, lambda live: live["spec"]["template"]["spec"]["containers"][0].update(image="evil:1"))
    running.reconcile(REF)
    assert image(api, WORKER) == "runtime:1"
    change(
        api, image="runtime:2", valkey={"external": {"urlSecretRef": {"name": "anthropic", "key": "api-key"}}}
    )
    for _ in range(10):
        running.reconcile(REF)
        api.settle()
    assert image(api, WORKER) == "runtime:2"
    assert VALKEY not in api.objects, "what nobody uses any more goes"
    api.before_write = lambda _verb, _ref: None
    assert converge(running, REF, settle=api.settle).result == "ready"
    assert kind in {ref.kind for ref in api.objects}


def test_behind_a_refused_child_what_runs_is_kept_in_shape_and_nothing_new_is_made(
    api: MemoryApi, running: Engine
) -> None:
    api.before_write = refusing(STATEFUL_SET, error=Invalid("a rule is broken"))
    valkey = {"external": {"urlSecretRef": {"name": "anthropic", "key": "api-key"}}}
    change(api, image="runtime:2", postgres={"managed": {"image": "postgres:18"}}, valkey=valkey)
    api.edit(SERVER, lambda live: live["spec"].update(replicas=9))
    scaler = ObjectRef(AUTOSCALER, NAMESPACE, "memory-worker")
    api.edit(scaler, lambda live: live["spec"].update(maxReplicas=99))
    before = jobs(api)
    for _ in range(3):
        outcome = running.reconcile(REF)
        assert (outcome.result, outcome.failed) == ("problem", True)
        api.settle()
    assert condition(status(api), "Ready")["reason"] == "Rejected"
    assert api.objects[SERVER]["spec"]["replicas"] == 2
    assert api.objects[scaler]["spec"]["maxReplicas"] == 8
    assert image(api, SERVER) == image(api, WORKER) == "runtime:1"
    assert jobs(api) == before, "no migration of a database that is not as asked for"
    assert VALKEY in api.objects, "pods still use it"
    pauses = [running.reconcile(REF).requeue_s or 0 for _ in range(10)]
    assert max(pauses) > 200, "it is not asked again and again"


def test_a_deletion_that_is_refused_holds_nothing_up_and_is_told(api: MemoryApi, running: Engine) -> None:
    api.before_write = refusing(NETWORK_POLICY, error=Forbidden("kept by a policy"))
    change(api, networkPolicy={"enabled": False}, server={"replicas": 3})
    assert running.reconcile(REF).result == "problem"
    assert api.objects[SERVER]["spec"]["replicas"] == 3
    assert "kept by a policy" in condition(status(api), "Ready")["message"]
    api.before_write = lambda _verb, _ref: None
    assert converge(running, REF, settle=api.settle).result == "ready"
    assert NETWORK_POLICY not in {ref.kind for ref in api.objects}


def refusing_by_name(*kinds: Kind) -> Callable[[str, ObjectRef], None]:
    """A `before_write` that refuses these kinds as an API server does: it names what it does not take."""

    def refuse(verb: str, ref: ObjectRef) -> None:
        if ref.kind in kinds:
            raise Forbidden(f"{verb} {ref}: no right to do so")

    return refuse


def refused(api: MemoryApi, *kinds: Kind) -> list[str]:
    """What `refusing_by_name` says of every child of these kinds that the API server has."""
    return [f"apply {ref}: no right to do so" for ref in api.objects if ref.kind in kinds]


def test_all_refusals_are_told_with_their_number_and_cost_no_write_again(
    api: MemoryApi, running: Engine
) -> None:
    kinds = (NETWORK_POLICY, DISRUPTION_BUDGET, AUTOSCALER)
    names = refused(api, *kinds)
    assert len(names) > 5
    api.before_write = refusing_by_name(*kinds)
    for ref in api.objects:
        if ref.kind in kinds:
            api.edit(ref, lambda live: live["metadata"]["annotations"].pop("claude-mem.dev/applied"))
    running.reconcile(REF)
    told = condition(status(api), "Ready")
    assert told["reason"] == "Forbidden"
    assert told["message"].startswith(f"{len(names)} refusals: {names[0]}; {names[1]}; ")
    assert sum(name in told["message"] for name in names) == 5
    assert told["message"].endswith(f"; and {len(names) - 5} more")
    api.writes.clear()
    for again in (running, running, engine(api)):
        again.reconcile(REF)
    assert api.writes == []
    assert condition(status(api), "Ready")["message"] == told["message"]


def test_the_first_refusal_gives_the_reason_and_the_others_are_told_beside_it(
    api: MemoryApi, running: Engine
) -> None:
    account = ObjectRef(SERVICE_ACCOUNT, NAMESPACE, "memory")
    api.delete(account)
    metadata = {"name": account.name, "namespace": NAMESPACE}
    api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    scaler = ObjectRef(AUTOSCALER, NAMESPACE, "memory-worker")
    api.edit(scaler, lambda live: live["spec"].update(maxReplicas=99))
    api.before_write = refusing_by_name(AUTOSCALER)
    running.reconcile(REF)
    for kind in ("Ready", "Degraded"):
        told = condition(status(api), kind)
        assert told["reason"] == "NameConflict"
        assert told["message"].startswith("2 refusals: ServiceAccount memory is there already")
        assert f"apply {scaler}: no right to do so" in told["message"]
    api.delete(account)
    running.reconcile(REF)
    told = condition(status(api), "Ready")
    assert (told["reason"], told["message"]) == ("Forbidden", f"apply {scaler}: no right to do so")


def test_what_is_refused_twice_in_a_run_is_told_once(api: MemoryApi, running: Engine) -> None:
    policies = sorted(str(ref) for ref in api.objects if ref.kind == NETWORK_POLICY)
    api.before_write = refusing_by_name(NETWORK_POLICY)
    change(api, networkPolicy={"enabled": False})
    running.reconcile(REF)
    told = condition(status(api), "Ready")["message"]
    words = "; ".join(f"delete {ref}: no right to do so" for ref in policies)
    assert told == f"{len(policies)} refusals: {words}"


def test_paused_every_object_of_somebody_else_is_told(api: MemoryApi, running: Engine) -> None:
    change(api, paused=True)
    for ref in (ObjectRef(SERVICE_ACCOUNT, NAMESPACE, "memory"), SERVER):
        live = api.objects.pop(ref)
        foreign = {"name": ref.name, "namespace": NAMESPACE}
        api.create({"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": foreign, "spec": {}})
    running.reconcile(REF)
    told = condition(status(api), "Ready")
    assert told["reason"] == "NameConflict"
    assert "ServiceAccount memory is there already" in told["message"]
    assert "Deployment memory-server is there already" in told["message"]
