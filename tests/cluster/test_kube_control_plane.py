"""The control plane that other tests stand on: it enforces what a cluster does, and survives its API server."""

from __future__ import annotations

from contextlib import suppress

import pytest
from kubernetes import client

from tests.support.kube.control_plane import ControlPlane
from tests.support.kube.kubectl import Kubectl, KubectlError
from tests.support.processes import wait_until

#: Seconds for controllers and caches on a busy machine.
PATIENCE_S = 300.0

READER = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "reader"},
    "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}],
}
BINDING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "RoleBinding",
    "metadata": {"name": "reader"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
    "subjects": [{"kind": "ServiceAccount", "name": "default"}],
}


def as_default(control_plane: ControlPlane, namespace: str) -> Kubectl:
    """kubectl as the namespace's default ServiceAccount."""
    kubeconfig = control_plane.service_account(namespace, "default")
    return control_plane.kubectl.with_kubeconfig(kubeconfig)


def test_rbac_grants_what_is_bound_and_no_more(control_plane: ControlPlane, namespace: str) -> None:
    kubectl = as_default(control_plane, namespace)
    with pytest.raises(KubectlError, match="Forbidden"):
        kubectl("-n", namespace, "get", "configmaps")
    control_plane.kubectl.apply(READER, BINDING, namespace=namespace)

    def counts() -> bool:
        """Whether the binding does; `can-i` fails where the answer is no."""
        with suppress(KubectlError):
            return kubectl("-n", namespace, "auth", "can-i", "list", "configmaps").strip() == "yes"
        return False

    wait_until(counts, what="the binding to count", timeout=PATIENCE_S)
    wait_until(
        lambda: "kube-root-ca.crt" in kubectl("-n", namespace, "get", "configmaps"),
        what="the map that every namespace gets",
        timeout=PATIENCE_S,
    )
    with pytest.raises(KubectlError, match="Forbidden"):
        kubectl("-n", namespace, "get", "secrets")


def test_controllers_make_the_children_and_collect_them(control_plane: ControlPlane, namespace: str) -> None:
    kubectl = control_plane.kubectl
    kubectl("-n", namespace, "create", "deployment", "web", "--image=web")
    wait_until(
        lambda: kubectl("-n", namespace, "get", "pods", "-o", "name"), what="the pod", timeout=PATIENCE_S
    )
    assert kubectl.json("-n", namespace, "get", "pods")["items"][0]["status"]["phase"] == "Pending"
    kubectl("-n", namespace, "delete", "deployment", "web")
    wait_until(
        lambda: not kubectl("-n", namespace, "get", "pods", "-o", "name"),
        what="the pod's end",
        timeout=PATIENCE_S,
    )


def test_a_killed_api_server_comes_back_with_what_it_knew(
    control_plane: ControlPlane, namespace: str
) -> None:
    kubectl = control_plane.kubectl
    kubectl("-n", namespace, "create", "configmap", "kept", "--from-literal=a=1")
    control_plane.kill_api_server()
    try:
        with pytest.raises(KubectlError):
            kubectl("-n", namespace, "get", "configmap", "kept")
    finally:
        control_plane.start_api_server()
    with control_plane.client() as api:
        assert client.CoreV1Api(api).read_namespaced_config_map("kept", namespace).data == {"a": "1"}


def test_a_namespace_ends_with_what_is_in_it(control_plane: ControlPlane) -> None:
    name = control_plane.create_namespace()
    control_plane.kubectl("-n", name, "create", "configmap", "gone")
    control_plane.delete_namespace(name)
    wait_until(
        lambda: not control_plane.kubectl("get", "namespace", name, "--ignore-not-found"),
        what="the namespace's end",
        timeout=PATIENCE_S,
    )
