"""Who may connect to whom under NetworkPolicies, as Kubernetes defines it, without a network that enforces them.

The semantics are those of https://kubernetes.io/docs/concepts/services-networking/network-policies/: policies that select a
pod for a direction leave it only what one of them allows, and a connection needs both ends to allow it. Named ports and
ranges of ports are not known here, and refused.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from claude_mem_operator.kube.port import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One end of a connection: a pod, or, without labels, an address outside the cluster."""

    namespace: str = ""
    labels: Mapping[str, str] | None = None
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    address: str = "10.244.0.7"


def may_connect(
    policies: Iterable[Manifest], source: Peer, target: Peer, *, port: int, protocol: str = "TCP"
) -> bool:
    """Whether `source` reaches a port of `target`."""
    found = list(policies)
    return _allows(found, source, target, "Egress", (port, protocol)) and _allows(
        found, target, source, "Ingress", (port, protocol)
    )


def _allows(
    policies: list[Manifest], subject: Peer, other: Peer, direction: str, port: tuple[int, str]
) -> bool:
    """Whether the policies about `subject` let it have a connection with `other` in a direction."""
    about = [one for one in policies if _is_about(one, subject, direction)]
    rules = [rule for one in about for rule in one["spec"].get(direction.lower(), [])]
    side = "to" if direction == "Egress" else "from"
    return not about or any(
        _has_port(rule, *port) and _has_peer(rule.get(side), other, one_namespace=subject.namespace)
        for rule in rules
    )


def _is_about(policy: Manifest, subject: Peer, direction: str) -> bool:
    return (
        subject.labels is not None
        and policy["metadata"]["namespace"] == subject.namespace
        and direction in policy["spec"]["policyTypes"]
        and _selects(policy["spec"]["podSelector"], subject.labels)
    )


def _has_port(rule: Manifest, port: int, protocol: str) -> bool:
    given = rule.get("ports")
    if not given:
        return True
    for one in given:
        if not isinstance(one["port"], int) or "endPort" in one:
            raise NotImplementedError(f"a port of another form: {one}")
    return any((one["port"], one.get("protocol", "TCP")) == (port, protocol) for one in given)


def _has_peer(peers: list[Manifest] | None, other: Peer, *, one_namespace: str) -> bool:
    return not peers or any(_is_peer(peer, other, one_namespace=one_namespace) for peer in peers)


def _is_peer(peer: Manifest, other: Peer, *, one_namespace: str) -> bool:
    if "ipBlock" in peer:
        address = ipaddress.ip_address(other.address)
        block = peer["ipBlock"]
        return address in ipaddress.ip_network(block["cidr"]) and not any(
            address in ipaddress.ip_network(cidr) for cidr in block.get("except", ())
        )
    if other.labels is None:
        return False
    if "namespaceSelector" in peer:
        within = _selects(peer["namespaceSelector"], other.namespace_labels)
    else:
        within = other.namespace == one_namespace
    return within and _selects(peer.get("podSelector", {}), other.labels)


def _selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; an empty one does always."""
    wanted: dict[str, str] = selector.get("matchLabels", {})
    expressions: list[dict[str, Any]] = selector.get("matchExpressions", [])
    return wanted.items() <= labels.items() and all(_holds(one, labels) for one in expressions)


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case other:
            raise NotImplementedError(other)
