"""Migrations, pausing, scaling, conflicts, volumes and deletion, against an API server in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import pytest

from claude_mem_operator.engine.deletion import FINALIZER
from claude_mem_operator.engine.reconcile import Engine
from claude_mem_operator.kube.errors import (
    Conflict,
    Forbidden,
    Invalid,
    KubeError,
    NamespaceTerminating,
    NotLeading,
    Unavailable,
)
from claude_mem_operator.kube.fenced import FencedApi
from claude_mem_operator.kube.kinds import (
    AUTOSCALER,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    EVENT,
    JOB,
    NETWORK_POLICY,
    POD,
    SECRET,
    SERVICE_ACCOUNT,
    STATEFUL_SET,
    VOLUME_CLAIM,
)
from claude_mem_operator.kube.kinds import (
    NAMESPACE as NAMESPACE_KIND,
)
from claude_mem_operator.kube.port import Kind, Manifest, ObjectRef
from tests.support.kube_engine import (
    NAMESPACE,
    condition,
    converge,
    engine,
    provider_secret,
    ref_to,
    resource,
)
from tests.support.kube_memory import MemoryApi

REF = ref_to()
SERVER = ObjectRef(DEPLOYMENT, NAMESPACE, "memory-server")
WORKER = ObjectRef(DEPLOYMENT, NAMESPACE, "memory-worker")
POSTGRES = ObjectRef(STATEFUL_SET, NAMESPACE, "memory-postgres")
VALKEY = ObjectRef(STATEFUL_SET, NAMESPACE, "memory-valkey")
CREDENTIALS = ObjectRef(SECRET, NAMESPACE, "memory-postgres-credentials")
CLAIM = ObjectRef(VOLUME_CLAIM, NAMESPACE, "data-memory-postgres-0")


@pytest.fixture
def api() -> MemoryApi:
    made = MemoryApi()
    made.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    made.create(provider_secret())
    made.create(resource())
    return made


@pytest.fixture
def running(api: MemoryApi) -> Engine:
    made = engine(api)
    assert converge(made, REF, settle=api.settle).result == "ready"
    api.writes.clear()
    return made


def change(api: MemoryApi, **spec: Any) -> None:
    api.edit(REF, lambda live: live["spec"].update(spec))


def status(api: MemoryApi) -> Manifest:
    found: Manifest = api.objects[REF]["status"]
    return found


def events(api: MemoryApi) -> set[str]:
    return {live["reason"] for ref, live in api.objects.items() if ref.kind == EVENT}


def jobs(api: MemoryApi) -> list[ObjectRef]:
    return [ref for ref in api.objects if ref.kind == JOB]


def image(api: MemoryApi, ref: ObjectRef) -> str:
    return str(api.objects[ref]["spec"]["template"]["spec"]["containers"][0]["image"])


def fail_jobs(api: MemoryApi) -> None:
    for ref, live in api.objects.items():
        if ref.kind == JOB and not live.get("status"):
            live["status"] = {"conditions": [{"type": "Failed", "status": "True"}]}
    api.settle()


def test_nothing_gets_a_new_image_before_the_migration_succeeded(api: MemoryApi, running: Engine) -> None:
    (first,) = jobs(api)
    change(api, image="runtime:2", server={"replicas": 5})
    assert running.reconcile(REF).result == "progressing"
    assert len(jobs(api)) == 2
    assert image(api, SERVER) == image(api, WORKER) == "runtime:1"
    assert api.objects[SERVER]["spec"]["replicas"] == 5, "what is no matter of the template does not wait"
    api.writes.clear()
    running.reconcile(REF)
    assert [ref for _, ref in api.writes if ref != REF] == []
    assert converge(running, REF, settle=api.settle).result == "ready"
    assert image(api, SERVER) == image(api, WORKER) == "runtime:2"
    assert first not in api.objects
    assert status(api)["version"] == "runtime:2"


def test_a_failed_migration_keeps_the_old_server_and_is_not_tried_again_by_itself(
    api: MemoryApi, running: Engine
) -> None:
    change(api, image="runtime:2")
    running.reconcile(REF)
    fail_jobs(api)
    assert running.reconcile(REF).result == "problem"
    assert condition(status(api), "Migrated") | {"lastTransitionTime": ""} == condition(
        status(api), "Migrated"
    ) | {
        "lastTransitionTime": "",
        "status": "False",
        "reason": "MigrationFailed",
    }
    assert status(api)["phase"] == "Degraded"
    assert "MigrationFailed" in events(api)
    assert image(api, SERVER) == "runtime:1"
    api.writes.clear()
    for _ in range(10):
        assert running.reconcile(REF).result == "problem"
    assert api.writes == []


def test_the_retry_annotation_tries_a_migration_again(api: MemoryApi, running: Engine) -> None:
    change(api, image="runtime:2")
    running.reconcile(REF)
    fail_jobs(api)
    running.reconcile(REF)
    api.edit(REF, lambda live: live["metadata"].update(annotations={"claude-mem.dev/retry": "1"}))
    assert converge(running, REF, settle=api.settle).result == "ready"
    assert image(api, SERVER) == "runtime:2"
    assert len(jobs(api)) == 1


def test_a_database_on_a_new_volume_is_migrated_anew(api: MemoryApi) -> None:
    api.create(claim("10Gi"))
    running = engine(api)
    assert converge(running, REF, settle=api.settle).result == "ready"
    (first,) = jobs(api)
    api.delete(CLAIM)  # somebody gave the volume up; its StatefulSet makes the next
    api.create(claim("10Gi"))
    assert running.reconcile(REF).result == "progressing"
    assert condition(status(api), "Migrated")["reason"] == "Running"
    assert converge(running, REF, settle=api.settle).result == "ready"
    (second,) = jobs(api)
    assert first != second
    api.writes.clear()
    assert running.reconcile(REF).result == "ready"
    assert api.writes == []


def test_taking_a_bad_image_back_heals(api: MemoryApi, running: Engine) -> None:
    before = jobs(api)
    change(api, image="runtime:bad")
    running.reconcile(REF)
    fail_jobs(api)
    running.reconcile(REF)
    api.edit(REF, lambda live: live["spec"].pop("image"))
    assert converge(running, REF, settle=api.settle).result == "ready"
    assert jobs(api) == before, "the Job of the good image had succeeded and was still there"


def test_a_pod_of_a_bad_revision_is_deleted_after_the_change_was_taken_back(
    api: MemoryApi, running: Engine
) -> None:
    uid = api.objects[POSTGRES]["metadata"]["uid"]
    api.objects[POSTGRES]["status"] |= {
        "readyReplicas": 0,
        "updateRevision": "good",
        "currentRevision": "good",
    }
    labels = {"app.kubernetes.io/name": "claude-mem", "app.kubernetes.io/instance": "memory"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "memory-postgres-0",
            "namespace": NAMESPACE,
            "labels": labels | {"controller-revision-hash": "bad"},
            "ownerReferences": [{"uid": uid}],
        },
        "status": {"phase": "Pending"},
    }
    api.create(pod)
    running.reconcile(REF)
    assert not [ref for ref in api.objects if ref.kind == POD]
    assert "Healed" in events(api)


def test_pods_that_do_not_start_are_named_with_their_image(api: MemoryApi, running: Engine) -> None:
    change(api, postgres={"managed": {"image": "nowhere/postgres:17"}})
    running.reconcile(REF)
    labels = {"app.kubernetes.io/name": "claude-mem", "app.kubernetes.io/instance": "memory"}
    waiting = {"waiting": {"reason": "ImagePullBackOff"}}
    container = {"name": "postgres", "image": "nowhere/postgres:17", "state": waiting}
    metadata = {"name": "memory-postgres-0", "namespace": NAMESPACE, "labels": labels}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "status": {"containerStatuses": [container]},
    }
    api.create(pod)
    outcome = running.reconcile(REF)
    told = condition(status(api), "Degraded")
    assert told["reason"] == "PodsFailing"
    assert "nowhere/postgres:17" in told["message"]
    assert outcome.requeue_s is not None
    assert outcome.requeue_s <= 30


def test_paused_nothing_is_written_but_the_status_which_names_what_waits(
    api: MemoryApi, running: Engine
) -> None:
    change(api, paused=True, server={"replicas": 7})
    api.delete(ObjectRef(SERVICE_ACCOUNT, NAMESPACE, "memory"))
    api.writes.clear()
    running.reconcile(REF)
    assert {ref.kind.kind for _, ref in api.writes} <= {"ClaudeMemServer", "Event"}
    told = condition(status(api), "Paused")
    assert told["status"] == "True"
    assert "Deployment memory-server changed" in told["message"]
    assert "ServiceAccount memory to be created" in told["message"]
    assert status(api)["phase"] == "Paused"
    api.writes.clear()
    running.reconcile(REF)
    assert api.writes == []
    change(api, paused=False)
    assert converge(running, REF, settle=api.settle).result == "ready"
    assert api.objects[SERVER]["spec"]["replicas"] == 7


def test_paused_beside_an_object_of_somebody_else_it_tells_of_both(api: MemoryApi, running: Engine) -> None:
    account = ObjectRef(SERVICE_ACCOUNT, NAMESPACE, "memory")
    api.delete(account)
    metadata = {"name": account.name, "namespace": NAMESPACE}
    api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    change(api, paused=True, server={"replicas": 7})
    assert running.reconcile(REF).result == "problem"
    assert condition(status(api), "Ready")["reason"] == "NameConflict"
    told = condition(status(api), "Paused")
    assert told["status"] == "True"
    assert "Deployment memory-server changed" in told["message"]
    assert status(api)["phase"] == "Paused"


def test_the_number_of_workers_is_never_applied_and_survives_the_hand_over(
    api: MemoryApi, running: Engine
) -> None:
    seen = []

    def watch(_verb: str, ref: ObjectRef) -> None:
        if WORKER in api.objects:
            seen.append(api.objects[WORKER]["spec"]["replicas"])

    api.edit(WORKER, lambda live: live["spec"].update(replicas=6))  # as the autoscaler does
    api.before_write = watch
    converge(running, REF, settle=api.settle)
    assert api.objects[WORKER]["spec"]["replicas"] == 6
    change(api, worker={"replicas": 6, "autoscaling": {"enabled": False}})
    converge(running, REF, settle=api.settle)
    assert not [ref for ref in api.objects if ref.kind == AUTOSCALER]
    change(api, worker={"replicas": 4, "autoscaling": {"enabled": False}})
    converge(running, REF, settle=api.settle)
    assert api.objects[WORKER]["spec"]["replicas"] == 4
    change(api, worker={"autoscaling": {"enabled": True}})
    converge(running, REF, settle=api.settle)
    assert api.objects[WORKER]["spec"]["replicas"] == 4
    assert 1 not in seen
    assert all(
        "replicas" not in str(entry["fieldsV1"].get("f:spec", {}).get("f:replicas", ""))
        for entry in _entries(api)
    )


def _entries(api: MemoryApi) -> list[Manifest]:
    return list(api.objects[WORKER]["metadata"]["managedFields"])


@pytest.mark.parametrize("external", [False, True])
def test_no_server_and_no_worker_asked_for_is_ready_and_says_so(api: MemoryApi, external: bool) -> None:
    none: dict[str, Any] = {
        "server": {"replicas": 0},
        "worker": {"replicas": 0, "autoscaling": {"enabled": False}},
    }
    if external:
        api.delete(REF)
        elsewhere = {"external": {"urlSecretRef": {"name": "anthropic", "key": "api-key"}}}
        api.create(resource(postgres=elsewhere, **none))
    else:
        change(api, **none)
    running = engine(api)
    assert converge(running, REF, settle=api.settle).result == "ready"
    for name in ("ServerAvailable", "WorkersAvailable"):
        told = condition(status(api), name)
        assert (told["status"], told["reason"]) == ("True", "ScaledToZero")
    assert condition(status(api), "Ready")["status"] == "True"
    assert "spec.server.replicas: is 0" in condition(status(api), "ConfigurationWarning")["message"]
    api.writes.clear()
    assert running.reconcile(REF).result == "ready"
    assert api.writes == []
    change(api, server={"replicas": 1})
    assert running.reconcile(REF).result == "progressing"
    assert condition(status(api), "ServerAvailable")["status"] == "False"
    assert converge(running, REF, settle=api.settle).result == "ready"
    assert condition(status(api), "ServerAvailable")["reason"] == "Available"


def test_an_autoscaler_of_no_workers_is_woken(api: MemoryApi, running: Engine) -> None:
    api.edit(WORKER, lambda live: live["spec"].update(replicas=0))
    converge(running, REF, settle=api.settle)
    assert api.objects[WORKER]["spec"]["replicas"] == 1


def test_the_autoscaler_looks_at_the_queue_where_the_cluster_serves_external_metrics(
    api: MemoryApi, running: Engine
) -> None:
    def looked_at() -> list[str]:
        scaler = api.objects[ObjectRef(AUTOSCALER, NAMESPACE, "memory-worker")]
        return [metric["type"] for metric in scaler["spec"]["metrics"]]

    change(api, worker={"autoscaling": {"targetQueueDepth": 10, "targetQueueAgeSeconds": 60}})
    converge(running, REF, settle=api.settle)
    assert looked_at() == ["Resource", "Resource"]
    told = condition(status(api), "ConfigurationWarning")
    assert told["reason"] == "NotSupported"
    assert "spec.worker.autoscaling.targetQueueDepth" in told["message"]
    api.served_groups.add("external.metrics.k8s.io")
    converge(running, REF, settle=api.settle)
    assert looked_at() == ["Resource", "Resource", "External", "External"]
    assert condition(status(api), "ConfigurationWarning")["status"] == "False"


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


def refusing(kind: Kind, *, error: KubeError) -> Callable[[str, ObjectRef], None]:
    def refuse(_verb: str, ref: ObjectRef) -> None:
        if ref.kind == kind:
            raise error

    return refuse


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


def claim(size: str) -> Manifest:
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


def test_a_volume_grows_and_its_template_stays(api: MemoryApi, running: Engine) -> None:
    api.create(claim("10Gi"))
    template = api.objects[POSTGRES]["spec"]["volumeClaimTemplates"]
    change(api, postgres={"managed": {"storage": "20Gi"}})
    assert converge(running, REF, settle=api.settle).result == "ready"
    assert api.objects[CLAIM]["spec"]["resources"]["requests"]["storage"] == "20Gi"
    assert api.objects[POSTGRES]["spec"]["volumeClaimTemplates"] == template
    assert "VolumeGrown" in events(api)


def test_a_volume_that_cannot_grow_is_told_and_asked_for_once(api: MemoryApi, running: Engine) -> None:
    api.create(claim("10Gi"))
    asked = []

    def refuse(_verb: str, ref: ObjectRef) -> None:
        if ref == CLAIM:
            asked.append(ref)
            raise Forbidden("only dynamically provisioned claims can be resized")

    api.before_write = refuse
    change(api, postgres={"managed": {"storage": "20Gi"}})
    for _ in range(5):
        running.reconcile(REF)
    assert len(asked) == 1
    told = condition(status(api), "ConfigurationWarning")
    assert told["reason"] == "VolumeNotGrown"


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


def test_deleted_it_keeps_volume_and_credentials_and_a_new_one_takes_them_over(
    api: MemoryApi, running: Engine
) -> None:
    api.create(claim("10Gi"))
    data = api.objects[CREDENTIALS]["data"]
    api.delete(REF)
    assert converge(running, REF).result == "gone"
    kept = {ref for ref in api.objects if ref.kind not in (EVENT, NAMESPACE_KIND)}
    assert kept == {CREDENTIALS, CLAIM, ObjectRef(SECRET, NAMESPACE, "anthropic")}
    assert "Retained" in events(api)
    api.create(resource())
    again = engine(api, new_secret=lambda kind: f"another-{kind}")
    assert converge(again, REF, settle=api.settle).result == "ready"
    assert api.objects[CREDENTIALS]["data"]["password"] == data["password"]


def test_whoever_awaits_what_was_read_is_told_when_the_resource_is_gone(api: MemoryApi) -> None:
    read: dict[str, int] = {}
    running = engine(api, on_read=lambda uid, objects: read.update({uid: len(list(objects))}))
    converge(running, REF, settle=api.settle)
    uid = api.objects[REF]["metadata"]["uid"]
    assert read[uid] > 1
    api.delete(REF)
    assert converge(running, REF).result == "gone"
    assert read == {uid: 0}


def test_what_another_resource_retains_is_not_taken_while_it_lives(api: MemoryApi, running: Engine) -> None:
    before = api.get(CREDENTIALS)
    api.create(resource("second", bootstrap={"apiKeySecretName": CREDENTIALS.name}))
    assert running.reconcile(ref_to("second")).result == "problem"
    told = condition(api.objects[ref_to("second")]["status"], "Ready")
    assert told["reason"] == "NameConflict"
    assert api.get(CREDENTIALS) == before


def test_made_again_at_once_it_waits_for_the_end_of_the_earlier_ones_children(
    api: MemoryApi, running: Engine
) -> None:
    account = ObjectRef(SERVICE_ACCOUNT, NAMESPACE, "memory")
    earlier = api.objects[account]
    api.delete(REF)
    assert converge(running, REF).result == "gone"
    api.objects[account] = earlier  # garbage collection is behind
    api.create(resource())
    outcome = running.reconcile(REF)
    assert (outcome.result, outcome.failed) == ("progressing", False)
    told = condition(status(api), "Progressing")
    assert told["reason"] == "Waiting"
    assert "ServiceAccount memory of an earlier resource" in told["message"]
    assert "NameConflict" not in events(api)
    assert api.objects[account] == earlier
    api.delete(account)
    assert converge(running, REF, settle=api.settle).result == "ready"


def test_deleted_with_the_policy_delete_it_leaves_nothing(api: MemoryApi, running: Engine) -> None:
    api.create(claim("10Gi"))
    change(api, deletionPolicy="Delete")
    converge(running, REF, settle=api.settle)
    api.delete(REF)
    assert converge(running, REF).result == "gone"
    kept = {ref for ref in api.objects if ref.kind not in (EVENT, NAMESPACE_KIND)}
    assert kept == {ObjectRef(SECRET, NAMESPACE, "anthropic")}


def test_deletion_is_given_up_after_a_minute_and_says_so(api: MemoryApi) -> None:
    change(api, deletionPolicy="Delete")
    time = datetime(2026, 1, 1, tzinfo=UTC)
    running = engine(api, now=lambda: time)
    converge(running, REF, settle=api.settle)
    api.create(claim("10Gi"))
    api.delete(REF)

    def fail(_verb: str, ref: ObjectRef) -> None:
        if ref == CLAIM:
            raise Unavailable("away")

    api.before_write = fail
    time += timedelta(seconds=30)
    assert running.reconcile(REF).result == "failed"
    assert REF in api.objects
    assert {condition(status(api), name)["reason"] for name in ("Ready", "Progressing")} == {"Deleting"}
    assert status(api)["phase"] == "Deleting"
    time += timedelta(seconds=31)
    running.reconcile(REF)
    assert REF not in api.objects
    assert "Released" in events(api)


def test_a_status_that_cannot_be_written_holds_no_deletion_up(api: MemoryApi, running: Engine) -> None:
    def refuse(verb: str, _ref: ObjectRef) -> None:
        if verb == "patch status":
            raise Invalid("the stored status breaks a rule")

    api.before_write = refuse
    api.delete(REF)
    assert converge(running, REF).result == "gone"


def test_in_a_namespace_that_goes_nothing_is_made_and_nothing_held(api: MemoryApi, running: Engine) -> None:
    namespace = ObjectRef(NAMESPACE_KIND, None, NAMESPACE)
    api.objects[namespace]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    change(api, deletionPolicy="Delete")
    api.delete(REF)
    api.writes.clear()
    running.reconcile(REF)
    assert REF not in api.objects
    assert {verb for verb, ref in api.writes if ref.kind.kind not in {"ClaudeMemServer"}} == set()


def test_a_refused_creation_in_a_namespace_that_goes_ends_quietly(api: MemoryApi) -> None:
    def refuse(_verb: str, ref: ObjectRef) -> None:
        if ref != REF:
            raise NamespaceTerminating("it is being terminated")

    api.before_write = refuse
    assert engine(api).reconcile(REF).result == "deleting"


def test_the_finalizer_comes_before_any_child(api: MemoryApi) -> None:
    first: list[list[str]] = []

    def look(_verb: str, ref: ObjectRef) -> None:
        if ref != REF and not first:
            first.append(api.objects[REF]["metadata"].get("finalizers", []))

    api.before_write = look
    engine(api).reconcile(REF)
    assert first == [[FINALIZER]]


def test_who_does_not_lead_writes_nothing(api: MemoryApi) -> None:
    api.writes.clear()
    with pytest.raises(NotLeading):
        engine(FencedApi(api, leading=lambda: False)).reconcile(REF)
    assert api.writes == []


@pytest.mark.parametrize("there", [True, False])
def test_a_run_waits_for_one_of_the_same_resource_that_is_still_under_way(
    api: MemoryApi, there: bool
) -> None:
    held, released = threading.Event(), threading.Event()
    calls: list[str] = []

    class Recording(MemoryApi):
        def get(self, ref: ObjectRef) -> Manifest | None:
            calls.append(threading.current_thread().name)
            if not held.is_set():
                held.set()
                assert released.wait(60)
            return super().get(ref)

    recording = Recording()
    recording.objects = api.objects
    running = engine(recording)
    ref = REF if there else ref_to("gone")
    first, second = (threading.Thread(target=running.reconcile, args=[ref], name=name) for name in "ab")
    first.start()
    assert held.wait(60)
    second.start()
    second.join(0.3)  # time to do what it must not
    released.set()
    for thread in (first, second):
        thread.join(60)
        assert not thread.is_alive()
    assert [name for name, _ in groupby(calls)] == ["a", "b"]


def test_a_lost_race_is_tried_again_soon_and_one_that_is_always_lost_later_and_later(
    api: MemoryApi, caplog: pytest.LogCaptureFixture
) -> None:
    running = engine(api)
    api.before_write = refusing(SERVICE_ACCOUNT, error=Conflict("a quota has changed"))
    outcomes = [running.reconcile(REF) for _ in range(16)]
    soon = [one for one in outcomes if not one.failed]
    assert 2 < len(soon) < 8
    assert {(one.result, one.requeue_s) for one in soon} == {("progressing", 0.5)}
    later = outcomes[len(soon) :]
    assert {one.result for one in later} == {"failed"}
    assert (later[0].requeue_s or 0) < 2
    assert (later[-1].requeue_s or 0) > 200
    assert "a quota has changed" in caplog.text
    api.before_write = lambda _verb, _ref: None
    assert converge(running, REF, settle=api.settle).result == "ready"
    change(api, log={"level": "DEBUG"})
    api.before_write = refusing(DEPLOYMENT, error=Conflict("again"))
    assert not running.reconcile(REF).failed, "the count begins anew"


def test_a_status_of_an_earlier_version_is_no_obstacle(api: MemoryApi, running: Engine) -> None:
    def spoil(live: Manifest) -> None:
        live["status"]["conditions"].append({"type": "Old", "status": "True", "reason": "Gone"})
        live["status"]["unheardOf"] = 1

    api.edit(REF, spoil)
    assert converge(running, REF, settle=api.settle).result == "ready"
    assert "unheardOf" not in status(api)


def test_transitions_keep_their_time_and_are_told_once(api: MemoryApi, running: Engine) -> None:
    before = condition(status(api), "Degraded")["lastTransitionTime"]
    later = datetime.now(UTC) + timedelta(hours=1)
    again = engine(api, now=lambda: later)
    change(api, log={"level": "DEBUG"})
    converge(again, REF, settle=api.settle)
    told = [live for ref, live in api.objects.items() if ref.kind == EVENT and live["reason"] == "Ready"]
    assert len(told) == 1
    assert told[0]["count"] == 2
    assert condition(status(api), "Degraded")["lastTransitionTime"] == before


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged of writes since the last call."""
    told = [line for line in caplog.records if hasattr(line, "resource")]
    assert all((line.levelname, vars(line)["resource"]) == ("INFO", "team/memory") for line in told)
    caplog.clear()
    return [line.getMessage() for line in told]


def test_each_write_to_a_child_is_a_line_that_says_what_and_why_and_no_value(
    api: MemoryApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="claude_mem_operator")
    running = engine(api)
    api.writes.clear()
    converge(running, REF, settle=api.settle)
    made = [ref for verb, ref in api.writes if verb == "apply"]
    assert lines(caplog) == [f"{ref}: created" for ref in made]
    running.reconcile(REF)
    assert lines(caplog) == []

    secret = "".join(("hunter", "2"))
    api.edit(SERVER, lambda live: live["spec"].update(replicas=9))
    api.edit(WORKER, lambda live: live["spec"]["template"]["spec"]["containers"][0].update(image=secret))
    api.delete(ObjectRef(SERVICE_ACCOUNT, NAMESPACE, "memory"))
    running.reconcile(REF)
    assert lines(caplog) == [
        "ServiceAccount team/memory: created",
        "Deployment team/memory-server: edited: spec.replicas",
        "Deployment team/memory-worker: edited: spec.template.spec.containers[0].image",
    ]
    converge(running, REF, settle=api.settle)
    change(api, worker={"replicas": 3, "autoscaling": {"enabled": False}}, log={"level": "DEBUG"})
    converge(running, REF, settle=api.settle)
    told = lines(caplog)
    assert "HorizontalPodAutoscaler team/memory-worker: deleted: not asked for any more" in told
    assert "Deployment team/memory-worker: scaled from 1 to 3" in told
    assert "Deployment team/memory-server: changed" in told
    assert not [line for line in told if line.startswith("Deployment") and "edited" in line]

    api.create(claim("10Gi"))
    change(api, deletionPolicy="Delete", postgres={"managed": {"storage": "20Gi"}})
    converge(running, REF, settle=api.settle)
    assert f"{CLAIM}: to be grown" in lines(caplog)
    api.delete(REF)
    converge(running, REF)
    told = lines(caplog)
    assert told
    assert all(line.endswith("deleted: the resource was, with deletionPolicy Delete") for line in told)
    assert {str(CLAIM), str(CREDENTIALS)} <= {line.split(": ")[0] for line in told}
