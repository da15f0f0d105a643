"""The workers: a Deployment without a port, whose replicas its manifest never says; see `Scale`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from claude_mem.environment import Role
from claude_mem_operator.desired import pods
from claude_mem_operator.desired.names import Component, child, child_name, selector
from claude_mem_operator.desired.types import Scale

if TYPE_CHECKING:
    from claude_mem_operator.desired.context import Context
    from claude_mem_operator.desired.types import Manifest

# The check starts a Python of its own, which takes its time on a busy node.
_HEALTH: Final = {"exec": {"command": ["claude-mem", "server", "worker", "health"]}}


def build(context: Context) -> Manifest:
    """The Deployment."""
    spec = {
        "revisionHistoryLimit": 3,
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
        },
        "selector": {"matchLabels": selector(context.resource, Component.WORKER)},
        "template": _template(context),
    }
    return child(
        context.resource, Component.WORKER, api_version="apps/v1", kind="Deployment", body={"spec": spec}
    )


def scale(context: Context) -> Scale:
    """How many workers there are to be, and who decides."""
    worker = context.spec.worker
    automatic = worker.autoscaling.enabled
    return Scale(
        deployment=child_name(context.resource, Component.WORKER),
        replicas=None if automatic else worker.replicas,
        wake=worker.autoscaling.min_replicas,
    )


def _template(context: Context) -> Manifest:
    return pods.runtime_template(
        context,
        Component.WORKER,
        settings=context.spec.worker,
        environment=context.environments[Role.WORKER],
        command=["claude-mem", "server", "worker", "start"],
        startupProbe=pods.probe(_HEALTH, period_s=5, timeout_s=20, failures=24),
        livenessProbe=pods.probe(_HEALTH, period_s=30, timeout_s=20, failures=3),
    )
