"""What the pods of every component have in common: resources, and where and how they are placed."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from claude_mem_operator.api.affinity import Affinity, Toleration, TopologySpreadConstraint
from claude_mem_operator.api.base import Model
from claude_mem_operator.api.lists import Unique
from claude_mem_operator.api.quantities import quantity
from claude_mem_operator.api.rules import Rule
from claude_mem_operator.api.scalars import Annotations, IntOrPercentage, Labels, MapKey, ObjectName, Quantity

Amounts = Annotated[dict[MapKey, Quantity], Field(max_length=16)]

OWN_LABEL_PREFIXES = ("app.kubernetes.io/", "claude-mem.dev/")


class Resources(Model):
    """How much of a node a container asks for, and how much it may take."""

    requests: Amounts | None = None
    """What the container is promised, by resource: cpu, memory, ephemeral-storage."""
    limits: Amounts | None = None
    """What the container may take at most, by resource."""

    rules = (
        Rule(
            cel=(
                "!has(self.requests) || !has(self.limits) || self.requests.all(name, !(name in self.limits) || "
                "quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name]))) <= 0)"
            ),
            holds=lambda one: all(
                quantity(amount) <= quantity(one.limits[name])
                for name, amount in (one.requests or {}).items()
                if name in (one.limits or {})
            ),
            message="must not ask for more than limits allow; lower the request or raise the limit",
            field=".requests",
        ),
    )


class Scheduling(Model):
    """Where the pods of a component run, and what they carry."""

    node_selector: Labels = {}
    """Labels that a node must have."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=32)] = ()
    """Taints of nodes that the pods put up with."""
    affinity: Affinity | None = None
    """Where pods must or should run. Not given: replicas are kept apart where that is possible."""
    priority_class_name: ObjectName | None = None
    """The PriorityClass of the pods."""
    pod_annotations: Annotations = {}
    """Further annotations of the pods."""
    pod_labels: Labels = {}
    """Further labels of the pods; those under app.kubernetes.io/ and claude-mem.dev/ are the operator's."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel=(
                "!has(self.podLabels) || self.podLabels.all(name, "
                "!name.startsWith('app.kubernetes.io/') && !name.startsWith('claude-mem.dev/'))"
            ),
            holds=lambda one: not any(name.startswith(OWN_LABEL_PREFIXES) for name in one.pod_labels),
            message=(
                "must not hold labels under app.kubernetes.io/ or claude-mem.dev/: the operator's selectors "
                "use them; choose another prefix"
            ),
            field=".podLabels",
        ),
        Rule(
            cel=(
                "!has(self.podAnnotations) || "
                "self.podAnnotations.all(name, !name.startsWith('claude-mem.dev/'))"
            ),
            holds=lambda one: not any(name.startswith("claude-mem.dev/") for name in one.pod_annotations),
            message="must not hold annotations under claude-mem.dev/, which the operator keeps",
            field=".podAnnotations",
        ),
    )


class ReplicatedScheduling(Scheduling):
    """The same for a component of several equal pods."""

    topology_spread_constraints: Annotated[
        tuple[TopologySpreadConstraint, ...],
        Field(max_length=16),
        Unique(("topology_key", "when_unsatisfiable")),
    ] = ()
    """How evenly the pods are spread over places."""


class PodDisruptionBudget(Model):
    """How many pods a voluntary disruption, such as the drain of a node, may take away."""

    enabled: bool = True
    """Whether there is a budget; none is made for a single replica, which could then never be moved."""
    min_available: IntOrPercentage | None = None
    """How many pods must stay: a number, or a percentage."""
    max_unavailable: IntOrPercentage | None = None
    """How many pods may be away: a number, or a percentage. 1, where neither field is given."""

    rules = (
        Rule(
            cel="!(has(self.minAvailable) && has(self.maxUnavailable))",
            holds=lambda budget: budget.min_available is None or budget.max_unavailable is None,
            message="must not hold both minAvailable and maxUnavailable; remove one",
            field=".maxUnavailable",
        ),
    )
