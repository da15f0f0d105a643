"""Who sets the number of pods, and by what, against an API server in memory."""

from __future__ import annotations

from typing import Any

import pytest

from claude_mem_operator.engine.reconcile import Engine
from claude_mem_operator.kube.kinds import AUTOSCALER
from claude_mem_operator.kube.port import Manifest, ObjectRef
from tests.support.kube_engine import NAMESPACE, condition, converge, engine, resource
from tests.support.kube_memory import MemoryApi
from tests.support.kube_running import REF, WORKER, change, status


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
