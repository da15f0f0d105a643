"""A real API server takes every child as it is, and every pod where PodSecurity's `restricted` is enforced."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from claude_mem_operator.desired import desired
from tests.support.kube.control_plane import ControlPlane
from tests.support.kube.dry_run import dry_run, lost
from tests.support.kube.kubectl import Kubectl, KubectlError
from tests.support.operator_resources import FULL, SHORTEST, Json, elsewhere, inputs, resource

#: Kinds of other projects, which this API server does not have: `test_foreign_kinds` asks for their shape.
FOREIGN = {"HTTPRoute", "ServiceMonitor", "PrometheusRule"}
ENFORCED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}


def sample(spec: Json) -> Json:
    """A full spec, without the classes that this cluster does not have and a container of another name."""
    changed = copy.deepcopy(spec)
    components = [changed.get("server"), changed.get("worker")]
    components += [changed.get(store, {}).get("managed") for store in ("postgres", "valkey")]
    for component in filter(None, components):
        component.pop("priorityClassName", None)
        for variable in component.get("env", []):
            variable.get("valueFrom", {}).get("resourceFieldRef", {}).pop("containerName", None)
    return changed


SPECS = {"shortest": SHORTEST, "full": sample(FULL), "elsewhere": sample(elsewhere())}


@pytest.fixture(scope="module")
def restricted(control_plane: ControlPlane) -> Iterator[str]:
    """A namespace that takes no pod beyond `restricted`."""
    name = control_plane.kubectl.create_namespace(prefix="restricted", labels=ENFORCED)
    yield name
    control_plane.delete_namespace(name)


@pytest.fixture
def kubectl(control_plane: ControlPlane) -> Kubectl:
    return control_plane.kubectl


def children(spec: Json, namespace: str) -> list[Any]:
    given = inputs(resource(spec, namespace=namespace))
    return [
        manifest
        for stage in desired(given)
        for manifest in stage.manifests
        if manifest["kind"] not in FOREIGN
    ]


def orphans(namespace: str) -> list[Any]:
    """The shortest resource's children without their owner, which nobody has made: they would be garbage at once."""
    found = children(SPECS["shortest"], namespace)
    for manifest in found:
        manifest["metadata"].pop("ownerReferences", None)
    return found


@pytest.mark.parametrize("name", SPECS)
def test_every_child_is_taken_as_it_is(kubectl: Kubectl, restricted: str, name: str) -> None:
    for manifest in children(SPECS[name], restricted):
        stored = dry_run(kubectl, manifest)
        assert lost(manifest, stored) == [], manifest["kind"]


@pytest.mark.parametrize("name", SPECS)
def test_every_pod_is_taken_where_restricted_is_enforced(
    kubectl: Kubectl, restricted: str, name: str
) -> None:
    for manifest in children(SPECS[name], restricted):
        template = manifest.get("spec", {}).get("template")
        if template is None:
            continue
        if not kubectl("-n", restricted, "get", "serviceaccount", "team-memory", "--ignore-not-found"):
            kubectl("-n", restricted, "create", "serviceaccount", "team-memory")
        pod = copy.deepcopy(template)
        volumes = pod["spec"].setdefault("volumes", [])
        for claim in manifest["spec"].get("volumeClaimTemplates", []):
            volumes.append({"name": claim["metadata"]["name"], "emptyDir": {}})
        metadata = {**pod["metadata"], "name": manifest["metadata"]["name"], "namespace": restricted}
        dry_run(kubectl, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod["spec"]})


def test_the_namespace_does_refuse_what_is_not_restricted(kubectl: Kubectl, restricted: str) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "plain", "namespace": restricted},
        "spec": {"containers": [{"name": "plain", "image": "example"}]},
    }
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        dry_run(kubectl, pod)


def test_what_is_applied_again_changes_nothing(kubectl: Kubectl, namespace: str) -> None:
    """Server-side apply of the same manifest leaves the object, and when the operator last changed it."""
    words = (
        *("apply", "--server-side", "--field-manager=claude-mem-operator"),
        *("--show-managed-fields", "--output=json", "--filename=-"),
    )
    for manifest in orphans(namespace):
        first, second = (json.loads(kubectl(*words, stdin=json.dumps(manifest))) for _ in range(2))
        # Controllers write beside the operator: the status, annotations, and so the version.
        assert {name: first.get(name) for name in ("spec", "data")} == {
            name: second.get(name) for name in ("spec", "data")
        }
        assert mine(first) == mine(second), manifest["kind"]


def mine(answer: Any) -> list[Any]:
    """What the operator owns of an object, and since when."""
    return [one for one in answer["metadata"]["managedFields"] if one["manager"] == "claude-mem-operator"]


def test_a_volumes_growth_is_no_change_of_its_statefulset(kubectl: Kubectl, namespace: str) -> None:
    grown = resource({**SHORTEST, "postgres": {"managed": {"storage": "30Gi"}}}, namespace=namespace)
    before = next(child for child in orphans(namespace) if child["kind"] == "StatefulSet")
    kubectl.apply(before, namespace=namespace)

    def after(**observed: str) -> Any:
        given = inputs(grown, observed_storage=observed)
        return next(
            manifest
            for stage in desired(given)
            for manifest in stage.manifests
            if manifest["kind"] == "StatefulSet"
        )

    with pytest.raises(KubectlError, match="are forbidden"):
        dry_run(kubectl, after())
    dry_run(kubectl, after(**{"team-memory-postgres": "10Gi"}))
