"""PodDisruptionBudgets: how many pods of a component the drain of nodes may take away at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem_operator.desired.names import Component, child, selector

if TYPE_CHECKING:
    from claude_mem_operator.api import PodDisruptionBudget
    from claude_mem_operator.desired.context import Context
    from claude_mem_operator.desired.types import Manifest


def build(context: Context) -> tuple[Manifest, ...]:
    """The budgets of the server and the workers; none where there is one pod at most, which could never be moved."""
    wanted = (
        (Component.SERVER, context.spec.server.pod_disruption_budget, context.spec.server.replicas),
        (Component.WORKER, context.spec.worker.pod_disruption_budget, context.spec.worker.most_replicas),
    )
    return tuple(
        _budget(context, component, budget)
        for component, budget, most in wanted
        if budget.enabled and most > 1
    )


def _budget(context: Context, component: Component, budget: PodDisruptionBudget) -> Manifest:
    spec: Manifest = {
        "selector": {"matchLabels": selector(context.resource, component)},
        # A pod that never becomes ready must not keep its node from being drained.
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    if budget.min_available is not None:
        spec["minAvailable"] = budget.min_available
    else:
        spec["maxUnavailable"] = 1 if budget.max_unavailable is None else budget.max_unavailable
    return child(
        context.resource,
        component,
        api_version="policy/v1",
        kind="PodDisruptionBudget",
        body={"spec": spec},
    )
