"""Selectors of labels, and who may connect: the shapes that Kubernetes has for them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from claude_mem_operator.api.base import Model
from claude_mem_operator.api.rules import Rule
from claude_mem_operator.api.scalars import Cidr, Labels, LabelValue, MapKey


class LabelSelectorRequirement(Model):
    """A demand on one label."""

    key: MapKey
    """The label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How the label's value relates to the values."""
    values: Annotated[tuple[LabelValue, ...], Field(max_length=32)] | None = None
    """The values: some with In and NotIn, none with Exists and DoesNotExist."""

    rules = (
        Rule(
            cel="(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
            holds=lambda one: (one.operator in {"In", "NotIn"}) == bool(one.values),
            message="must hold values with In and NotIn, and none with Exists and DoesNotExist",
            field=".values",
        ),
    )


class LabelSelector(Model):
    """Objects by their labels; all demands must hold, and an empty selector takes everything."""

    match_labels: Labels | None = None
    """Labels with the values that they must have."""
    match_expressions: Annotated[tuple[LabelSelectorRequirement, ...], Field(max_length=16)] | None = None
    """Demands on labels."""


class IpBlock(Model):
    """A block of addresses."""

    cidr: Cidr
    """The block, such as 10.0.0.0/8."""
    except_: Annotated[tuple[Cidr, ...], Field(max_length=32)] | None = Field(default=None, alias="except")
    """Blocks within it that are left out."""


class NetworkPolicyPeer(Model):
    """Who may connect: pods by label, all pods of namespaces by label, both together, or addresses."""

    pod_selector: LabelSelector | None = None
    """Pods; of the resource's own namespace, unless namespaceSelector says more."""
    namespace_selector: LabelSelector | None = None
    """Namespaces."""
    ip_block: IpBlock | None = None
    """Addresses, instead of the selectors."""

    rules = (
        Rule(
            cel="has(self.ipBlock) != (has(self.podSelector) || has(self.namespaceSelector))",
            holds=lambda peer: (
                (peer.ip_block is not None)
                != (peer.pod_selector is not None or peer.namespace_selector is not None)
            ),
            message="must hold either ipBlock, or podSelector and namespaceSelector or one of these",
        ),
    )
