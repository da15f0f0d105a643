"""Migrations before new images, and pods that do not start, against an API server in memory."""

from __future__ import annotations

from claude_mem_operator.engine.reconcile import Engine
from claude_mem_operator.kube.kinds import POD
from tests.support.kube_engine import NAMESPACE, condition, converge, engine
from tests.support.kube_memory import MemoryApi
from tests.support.kube_running import (
    CLAIM,
    POSTGRES,
    REF,
    SERVER,
    WORKER,
    change,
    claim,
    events,
    fail_jobs,
    image,
    jobs,
    status,
)


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
