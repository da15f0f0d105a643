"""What the two managed stores have in common: a Service and a StatefulSet of one pod with one volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem_operator.desired.names import child, child_name, claim_name, selector
from claude_mem_operator.desired.types import Claim, Gate, GateKind

if TYPE_CHECKING:
    from claude_mem_operator.api import ConditionType, ManagedStore
    from claude_mem_operator.desired.context import Context
    from claude_mem_operator.desired.names import Component
    from claude_mem_operator.desired.types import Manifest


def store_manifests(
    context: Context, component: Component, managed: ManagedStore, *, port: int, template: Manifest
) -> tuple[Manifest, ...]:
    """A store's Service and StatefulSet."""
    resource = context.resource
    name = child_name(resource, component)
    service = child(
        resource,
        component,
        api_version="v1",
        kind="Service",
        body={
            "spec": {
                "type": "ClusterIP",
                "selector": selector(resource, component),
                "ports": [
                    {"name": component.value, "port": port, "protocol": "TCP", "targetPort": component.value}
                ],
            }
        },
    )
    stateful_set = child(
        resource,
        component,
        api_version="apps/v1",
        kind="StatefulSet",
        body={
            "spec": {
                "replicas": 1,
                "serviceName": name,
                # In order, a pod that never becomes ready would keep its own repair from being rolled out.
                "podManagementPolicy": "Parallel",
                "updateStrategy": {"type": "RollingUpdate"},
                "revisionHistoryLimit": 3,
                "persistentVolumeClaimRetentionPolicy": {
                    "whenDeleted": resource.spec.deletion_policy,
                    "whenScaled": "Retain",
                },
                "selector": {"matchLabels": selector(resource, component)},
                "template": template,
                "volumeClaimTemplates": [_claim_template(context, component, managed)],
            }
        },
    )
    return service, stateful_set


def _claim_template(context: Context, component: Component, managed: ManagedStore) -> Manifest:
    observed = context.inputs.observed_storage.get(child_name(context.resource, component))
    spec: Manifest = {
        "accessModes": ["ReadWriteOnce"],
        # The template cannot be changed; what is beyond it is for `claim`.
        "resources": {"requests": {"storage": observed or managed.storage}},
    }
    if managed.storage_class_name is not None:
        spec["storageClassName"] = managed.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "labels": selector(context.resource, component)},
        "spec": spec,
    }


def claim(context: Context, component: Component, managed: ManagedStore) -> Claim:
    """The volume's claim, and how large it is to be."""
    return Claim(name=claim_name(context.resource, component), storage=managed.storage)


def gate(context: Context, component: Component, condition: ConditionType) -> Gate:
    """The gate behind a store: its pod answers."""
    return Gate(kind=GateKind.READY, name=child_name(context.resource, component), condition=condition)
