"""What tests on kind stand on: a node that is ready, storage, names, metrics, and PodSecurity that is enforced."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

from tests.support.kube.kind import KindCluster
from tests.support.kube.kubectl import KubectlError
from tests.support.kube.memory import PATIENCE_S
from tests.support.processes import wait_until

CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
}


def pod(name: str, image: str, *command: str, **spec: Any) -> dict[str, Any]:
    """A pod that fits the restricted profile, with an image that has to be in the node or at its registry."""
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "main", "image": image, "command": list(command), "securityContext": restricted}
    identity = {"runAsNonRoot": True, "runAsUser": 999, "fsGroup": 999}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "securityContext": identity | {"seccompProfile": {"type": "RuntimeDefault"}},
            "terminationGracePeriodSeconds": 0,
            "containers": [container | spec.pop("container", {})],
            **spec,
        },
    }


def test_the_node_is_ready(kind_cluster: KindCluster) -> None:
    kind_cluster.kubectl.wait(f"node/{kind_cluster.name}-control-plane", "condition=Ready")


def test_a_restricted_pod_has_storage_and_names(kind_cluster: KindCluster, kind_namespace: str) -> None:
    kubectl = kind_cluster.kubectl
    script = "set -e; getent hosts kubernetes.default.svc; echo kept >/data/file; exec sleep infinity"
    written = {"exec": {"command": ["test", "-s", "/data/file"]}, "periodSeconds": 1, "timeoutSeconds": 30}
    writer = pod(
        "writer",
        "postgres:17",
        *("sh", "-c", script),
        container={
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            "readinessProbe": written,
        },
        volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    )
    kubectl.apply(CLAIM, writer, namespace=kind_namespace)
    kubectl.wait("pod/writer", "condition=Ready", namespace=kind_namespace)
    assert kubectl("-n", kind_namespace, "exec", "writer", "--", "cat", "/data/file") == "kept\n"
    assert "kubernetes.default.svc" in kubectl("-n", kind_namespace, "logs", "writer")
    claim = kubectl.json("-n", kind_namespace, "get", "pvc", "data")
    assert (claim["status"]["phase"], claim["spec"]["storageClassName"]) == ("Bound", "standard")


def test_metrics_come_for_nodes_and_pods(kind_cluster: KindCluster, kind_namespace: str) -> None:
    kubectl = kind_cluster.kubectl
    kubectl.apply(pod("busy", "valkey/valkey:8", "sleep", "infinity"), namespace=kind_namespace)
    kubectl.wait("pod/busy", "condition=Ready", namespace=kind_namespace)
    found: list[dict[str, Any]] = []

    def is_measured(path: str) -> bool:
        """Whether there are figures; who measures may be out of reach for a moment on a busy machine."""
        with suppress(KubectlError):
            found[:] = json.loads(kubectl("get", "--raw", f"/apis/metrics.k8s.io/v1beta1/{path}"))["items"]
            return bool(found)
        return False

    wait_until(lambda: is_measured("nodes"), what="the node's metrics", timeout=PATIENCE_S)
    pods = f"namespaces/{kind_namespace}/pods"
    wait_until(lambda: is_measured(pods), what="the pod's metrics", timeout=PATIENCE_S)
    assert found[0]["containers"][0]["usage"].keys() == {"cpu", "memory"}


def test_a_pod_that_is_not_restricted_is_refused(kind_cluster: KindCluster, kind_namespace: str) -> None:
    root = pod("root", "postgres:17", "id", container={"securityContext": {"privileged": True}})
    with pytest.raises(KubectlError, match='violates PodSecurity "restricted'):
        kind_cluster.kubectl.apply(root, namespace=kind_namespace)


def test_helm_speaks_to_the_same_cluster(kind_cluster: KindCluster) -> None:
    assert json.loads(kind_cluster.helm("list", "--namespace", "default", "--output", "json")) == []
