"""Volumes that grow, and one that may not: the API server's own admission of claims decides.

Claims are bound by Kubernetes' controller to volumes that are made by hand; nobody resizes those, for no storage is
behind them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from claude_mem_operator.engine.backoff import MOST_S
from claude_mem_operator.engine.reconcile import Engine
from claude_mem_operator.kube.dynamic import DynamicApi
from claude_mem_operator.kube.kinds import EVENT, STATEFUL_SET, VOLUME_CLAIM
from claude_mem_operator.kube.port import Manifest, ObjectRef
from tests.support.claude_mem_servers import install_crd
from tests.support.kube.control_plane import ControlPlane
from tests.support.kube_engine import condition, engine, provider_secret, ref_to, resource
from tests.support.kube_kubelet import PretendedKubelet
from tests.support.processes import wait_until

PATIENCE_S = 300.0
CLAIM = "data-memory-postgres-0"
#: How an API server refuses growth for want of a class that allows it.
NOT_ALLOWED = "the storageclass that provisions the pvc must support resize"


@dataclass(frozen=True)
class Stored:
    """A ready resource, whose database's claim is bound, and the engine that looks after it."""

    api: DynamicApi
    engine: Engine
    ref: ObjectRef

    def ask(self, storage: str) -> None:
        """Change the size that the resource asks for, and reconcile until nothing is left to do."""
        self.api.patch(self.ref, {"spec": {"postgres": {"managed": {"storage": storage}}}})
        self.settle()

    def settle(self) -> None:
        """Reconcile until nothing is left to do."""
        wait_until(
            lambda: self.engine.reconcile(self.ref).result == "ready",
            what=f"{self.ref} to be ready",
            timeout=PATIENCE_S,
        )

    def claim(self) -> Manifest:
        found = self.api.get(ObjectRef(VOLUME_CLAIM, self.ref.namespace, CLAIM))
        assert found is not None
        return found

    def size(self) -> str:
        """What the claim asks for."""
        return str(self.claim()["spec"]["resources"]["requests"]["storage"])

    def set(self) -> Manifest:
        found = self.api.get(ObjectRef(STATEFUL_SET, self.ref.namespace, "memory-postgres"))
        assert found is not None
        return found

    def status(self) -> Manifest:
        status: Manifest = (self.api.get(self.ref) or {})["status"]
        return status

    def events(self, reason: str) -> list[str]:
        return [
            event["message"]
            for event in self.api.list(EVENT, self.ref.namespace)
            if event["reason"] == reason
        ]


@pytest.fixture
def stored(request: pytest.FixtureRequest, control_plane: ControlPlane, namespace: str) -> Iterator[Stored]:
    """Stored under a class that allows growth or, by the test's parameter, does not."""
    install_crd(control_plane.kubectl)
    name = f"class-{namespace}"
    control_plane.kubectl.apply(storage_class(name, grows=request.param), volume(name, namespace))
    api = DynamicApi(control_plane.client())
    with PretendedKubelet(DynamicApi(control_plane.client()), namespace):
        api.create(provider_secret(namespace))
        api.create(resource(namespace=namespace, postgres={"managed": {"storageClassName": name}}))
        made = Stored(api, engine(api), ref_to(namespace=namespace))
        made.settle()
        wait_until(lambda: made.claim()["status"]["phase"] == "Bound", what="the claim", timeout=PATIENCE_S)
        yield made
    control_plane.kubectl("delete", f"persistentvolume/{name}", f"storageclass/{name}", "--wait=false")


def storage_class(name: str, *, grows: bool) -> Manifest:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "kubernetes.io/no-provisioner",
        "allowVolumeExpansion": grows,
    }


def volume(name: str, namespace: str) -> Manifest:
    """A volume that is for the database's claim and no other."""
    spec: dict[str, Any] = {
        "storageClassName": name,
        "capacity": {"storage": "10Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/nowhere"},
        "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "name": CLAIM,
            "namespace": namespace,
        },
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize("stored", [True], indirect=True, ids=["growing"])
def test_a_volume_whose_class_allows_it_grows(stored: Stored) -> None:
    before = stored.set()
    stored.ask("20Gi")
    assert stored.size() == "20Gi"
    assert stored.events("VolumeGrown") == [f"volume claim {CLAIM} grows from 10Gi to 20Gi"]
    assert stored.status()["phase"] == "Ready"
    # Its template cannot be changed, and the database is not started again for it.
    assert stored.set()["metadata"]["generation"] == before["metadata"]["generation"]
    version = stored.claim()["metadata"]["resourceVersion"]
    stored.settle()
    assert stored.claim()["metadata"]["resourceVersion"] == version


@pytest.mark.parametrize("stored", [False], indirect=True, ids=["fixed"])
def test_one_whose_class_does_not_is_told_and_goes_on_as_it_is(stored: Stored) -> None:
    stored.ask("20Gi")
    assert stored.size() == "10Gi"
    told = condition(stored.status(), "ConfigurationWarning")
    assert (told["status"], told["reason"]) == ("True", "VolumeNotGrown")
    assert f"volume claim {CLAIM} cannot grow from 10Gi to 20Gi" in told["message"]
    assert NOT_ALLOWED in told["message"]
    assert stored.status()["phase"] == "Ready"
    # What else is asked for is done all the same.
    stored.api.patch(stored.ref, {"spec": {"server": {"replicas": 3}}})
    stored.settle()
    assert stored.status()["server"]["replicas"] == 3


@pytest.mark.parametrize("stored", [False], indirect=True, ids=["fixed"])
def test_once_its_class_does_it_grows_by_itself(stored: Stored, control_plane: ControlPlane) -> None:
    stored.ask("20Gi")
    assert condition(stored.status(), "ConfigurationWarning")["reason"] == "VolumeNotGrown"
    allowed = '{"allowVolumeExpansion": true}'
    control_plane.kubectl("patch", f"storageclass/class-{stored.ref.namespace}", f"--patch={allowed}")

    def grown() -> bool:
        stored.settle()
        return stored.size() == "20Gi"

    wait_until(grown, what="the volume to be asked for again", timeout=MOST_S + PATIENCE_S)
    assert condition(stored.status(), "ConfigurationWarning")["status"] == "False"
