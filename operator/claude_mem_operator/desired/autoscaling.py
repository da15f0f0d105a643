"""The workers' HorizontalPodAutoscaler: CPU and memory on any cluster, the queue where external metrics are served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from claude_mem_operator.desired.names import Component, child, child_name
from claude_mem_operator.desired.types import EXTERNAL_METRICS

if TYPE_CHECKING:
    from claude_mem_operator.desired.context import Context
    from claude_mem_operator.desired.types import Manifest

QUEUE_DEPTH: Final = "claude_mem_queue_depth"
QUEUE_AGE: Final = "claude_mem_queue_oldest_age_seconds"


def build(context: Context) -> tuple[Manifest, ...]:
    """The autoscaler, where there is to be one."""
    autoscaling = context.spec.worker.autoscaling
    if not autoscaling.enabled:
        return ()
    spec: Manifest = {
        "scaleTargetRef": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": child_name(context.resource, Component.WORKER),
        },
        "minReplicas": autoscaling.min_replicas,
        "maxReplicas": autoscaling.max_replicas,
        "metrics": _metrics(context),
    }
    if autoscaling.behavior is not None:
        spec["behavior"] = autoscaling.behavior.manifest()
    return (
        child(
            context.resource,
            Component.WORKER,
            api_version="autoscaling/v2",
            kind="HorizontalPodAutoscaler",
            body={"spec": spec},
        ),
    )


def _metrics(context: Context) -> list[Manifest]:
    autoscaling = context.spec.worker.autoscaling
    metrics = [
        _utilization("cpu", autoscaling.target_cpu_utilization_percentage),
        _utilization("memory", autoscaling.target_memory_utilization_percentage),
    ]
    if EXTERNAL_METRICS in context.inputs.capabilities:
        if autoscaling.target_queue_depth is not None:
            # A share for each worker, so that twice the queue asks for twice the workers.
            metrics.append(_external(context, QUEUE_DEPTH, "AverageValue", autoscaling.target_queue_depth))
        if autoscaling.target_queue_age_seconds is not None:
            metrics.append(_external(context, QUEUE_AGE, "Value", autoscaling.target_queue_age_seconds))
    return metrics


def _utilization(resource: str, percentage: int) -> Manifest:
    target = {"type": "Utilization", "averageUtilization": percentage}
    return {"type": "Resource", "resource": {"name": resource, "target": target}}


def _external(context: Context, name: str, kind: str, value: int) -> Manifest:
    metadata = context.resource.metadata
    metric = {
        "name": name,
        "selector": {"matchLabels": {"name": metadata.name, "namespace": metadata.namespace}},
    }
    member = "averageValue" if kind == "AverageValue" else "value"
    return {"type": "External", "external": {"metric": metric, "target": {"type": kind, member: str(value)}}}
