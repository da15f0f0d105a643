"""How the number of workers follows their load: what an autoscaling/v2 HorizontalPodAutoscaler needs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from claude_mem_operator.api.base import Model
from claude_mem_operator.api.rules import Rule

Utilization = Annotated[int, Field(ge=1, le=1000)]
Target = Annotated[int, Field(ge=1, le=2**31 - 1)]


class ScalingPolicy(Model):
    """A limit on the pace of a change."""

    type: Literal["Pods", "Percent"]
    """Whether the value is a number of pods or a percentage of them."""
    value: Annotated[int, Field(ge=1, le=2**31 - 1)]
    """By how much the number may change within the period."""
    period_seconds: Annotated[int, Field(ge=1, le=1800)]
    """The period, in seconds."""


class ScalingRules(Model):
    """How fast the number changes in one direction."""

    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)] | None = None
    """For how long what was recommended before is still heeded, in seconds; Kubernetes' default is 0 up
    and 300 down."""
    select_policy: Literal["Max", "Min", "Disabled"] | None = None
    """Which of the policies counts: the one that allows most, least, or no change at all."""
    policies: (
        Annotated[
            tuple[ScalingPolicy, ...],
            Field(max_length=8, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
        ]
        | None
    ) = None
    """Limits on the pace."""


class ScalingBehavior(Model):
    """How fast the number changes, as in a HorizontalPodAutoscaler."""

    scale_up: ScalingRules | None = None
    """Upwards."""
    scale_down: ScalingRules | None = None
    """Downwards."""


class Autoscaling(Model):
    """Bounds and targets; the target that asks for most workers wins."""

    enabled: bool = True
    """Whether an autoscaler sets the number of workers; else spec.worker.replicas does."""
    min_replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """The fewest workers."""
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = 8
    """The most workers."""
    target_cpu_utilization_percentage: Utilization = Field(default=70, alias="targetCPUUtilizationPercentage")
    """CPU in use, in percent of the workers' CPU request."""
    target_memory_utilization_percentage: Utilization = 80
    """Memory in use, in percent of the workers' memory request; 1000 for a target that is never met."""
    target_queue_depth: Target | None = None
    """Jobs waiting for each worker; needs a cluster that serves external metrics."""
    target_queue_age_seconds: Target | None = None
    """How long the oldest job may wait, in seconds; needs a cluster that serves external metrics."""
    behavior: ScalingBehavior | None = None
    """How fast the number changes; not given: Kubernetes' own pace."""

    rules = (
        Rule(
            cel="!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
            holds=lambda one: one.min_replicas <= one.max_replicas,
            message="must not be more than maxReplicas; lower it, or raise maxReplicas",
            field=".minReplicas",
        ),
    )
