"""Where pods go: node and pod affinity, tolerations and spreading, in Kubernetes' own shapes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from claude_mem_operator.api.base import Model
from claude_mem_operator.api.rules import Rule
from claude_mem_operator.api.scalars import LabelName, MapKey, Text
from claude_mem_operator.api.selectors import LabelSelector

Weight = Annotated[int, Field(ge=1, le=100)]


class NodeSelectorRequirement(Model):
    """A demand on a label or field of a node."""

    key: MapKey
    """The label or field."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    """How its value relates to the values."""
    values: Annotated[tuple[Annotated[str, Field(max_length=253)], ...], Field(max_length=32)] | None = None
    """The values: none with Exists and DoesNotExist, one number with Gt and Lt, else some."""

    rules = (
        Rule(
            cel=(
                "self.operator in ['Exists', 'DoesNotExist'] ? (!has(self.values) || self.values.size() == 0) : "
                "self.operator in ['Gt', 'Lt'] ? (has(self.values) && self.values.size() == 1) : "
                "(has(self.values) && self.values.size() > 0)"
            ),
            holds=lambda one: _values_fit(one.operator, len(one.values or ())),
            message="must hold no values with Exists and DoesNotExist, one with Gt and Lt, else at least one",
            field=".values",
        ),
    )


def _values_fit(operator: str, values: int) -> bool:
    if operator in {"Exists", "DoesNotExist"}:
        return values == 0
    return values == 1 if operator in {"Gt", "Lt"} else values > 0


Requirements = Annotated[tuple[NodeSelectorRequirement, ...], Field(max_length=16)]


class NodeSelectorTerm(Model):
    """Nodes that meet all demands."""

    match_expressions: Requirements | None = None
    """Demands on labels."""
    match_fields: Requirements | None = None
    """Demands on fields, such as metadata.name."""


class NodeSelector(Model):
    """Nodes that meet at least one of the terms."""

    node_selector_terms: Annotated[tuple[NodeSelectorTerm, ...], Field(min_length=1, max_length=8)]
    """The terms."""


class PreferredSchedulingTerm(Model):
    """Nodes that are preferred."""

    weight: Weight
    """How much; the weights of all terms that a node meets are added."""
    preference: NodeSelectorTerm
    """The nodes."""


class NodeAffinity(Model):
    """Which nodes pods must or should run on."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    """The nodes that pods must run on."""
    preferred_during_scheduling_ignored_during_execution: (
        Annotated[tuple[PreferredSchedulingTerm, ...], Field(max_length=8)] | None
    ) = None
    """The nodes that are preferred."""


class PodAffinityTerm(Model):
    """Pods, and what counts as being near them."""

    topology_key: MapKey
    """The label of nodes that makes places of them, such as topology.kubernetes.io/zone."""
    label_selector: LabelSelector | None = None
    """The pods, by label."""
    namespaces: Annotated[tuple[LabelName, ...], Field(max_length=16)] | None = None
    """Their namespaces by name; the resource's own where neither this nor namespaceSelector is given."""
    namespace_selector: LabelSelector | None = None
    """Their namespaces by label."""


class WeightedPodAffinityTerm(Model):
    """Pods that it is preferred to be near to, or away from."""

    weight: Weight
    """How much; the weights of all terms that a node meets are added."""
    pod_affinity_term: PodAffinityTerm
    """The pods."""


RequiredTerms = Annotated[tuple[PodAffinityTerm, ...], Field(max_length=8)]
PreferredTerms = Annotated[tuple[WeightedPodAffinityTerm, ...], Field(max_length=8)]


class PodAffinity(Model):
    """Which pods to run near to, or, as podAntiAffinity, away from."""

    required_during_scheduling_ignored_during_execution: RequiredTerms | None = None
    """What must hold."""
    preferred_during_scheduling_ignored_during_execution: PreferredTerms | None = None
    """What is preferred."""


class Affinity(Model):
    """Where pods must or should run."""

    node_affinity: NodeAffinity | None = None
    """By the nodes' labels."""
    pod_affinity: PodAffinity | None = None
    """Near to other pods."""
    pod_anti_affinity: PodAffinity | None = None
    """Away from other pods."""


class Toleration(Model):
    """A taint of nodes that pods put up with."""

    key: MapKey | None = None
    """The taint's key; every taint where it is not given, which needs the operator Exists."""
    operator: Literal["Exists", "Equal"] | None = None
    """Exists takes any value of the taint; Equal, the default, the given one."""
    value: Annotated[str, Field(max_length=63)] | None = None
    """The taint's value, with Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's effect; every effect where it is not given."""
    toleration_seconds: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """How long a pod stays on a node that gets the taint, in seconds; for ever where it is not given."""

    rules = (
        Rule(
            cel="has(self.key) || (has(self.operator) && self.operator == 'Exists')",
            holds=lambda one: one.key is not None or one.operator == "Exists",
            message="must be Exists where no key is given",
            field=".operator",
        ),
        Rule(
            cel=(
                "!(has(self.operator) && self.operator == 'Exists') || !has(self.value) || self.value == ''"
            ),
            holds=lambda one: one.operator != "Exists" or not one.value,
            message="must be left out with the operator Exists, which takes every value",
            field=".value",
        ),
        Rule(
            cel="!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            holds=lambda one: one.toleration_seconds is None or one.effect == "NoExecute",
            message="means something with the effect NoExecute only; set that, or remove it",
            field=".tolerationSeconds",
        ),
    )


class TopologySpreadConstraint(Model):
    """How evenly pods are spread over places."""

    max_skew: Annotated[int, Field(ge=1, le=2**31 - 1)]
    """By how many pods two places may differ."""
    topology_key: MapKey
    """The label of nodes that makes places of them, such as topology.kubernetes.io/zone."""
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    """Whether a pod that cannot be placed evenly waits, or is placed all the same."""
    label_selector: LabelSelector | None = None
    """The pods that are counted; the component's own where it is not given."""
    min_domains: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """The least number of places; with DoNotSchedule only."""
    node_affinity_policy: Literal["Honor", "Ignore"] | None = None
    """Whether nodes that the pods' affinity and selector exclude count."""
    node_taints_policy: Literal["Honor", "Ignore"] | None = None
    """Whether nodes with taints that the pods do not tolerate count."""
    match_label_keys: Annotated[tuple[Text, ...], Field(max_length=8)] | None = None
    """Labels of the pods that set revisions apart, such as pod-template-hash."""

    rules = (
        Rule(
            cel="!has(self.minDomains) || self.whenUnsatisfiable == 'DoNotSchedule'",
            holds=lambda one: one.min_domains is None or one.when_unsatisfiable == "DoNotSchedule",
            message="means something with whenUnsatisfiable: DoNotSchedule only; set that, or remove it",
            field=".minDomains",
        ),
    )
