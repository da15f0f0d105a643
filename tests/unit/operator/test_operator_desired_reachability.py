"""What the policies of one resource mean together: every pair of ends, and strangers of every kind.

The local cluster enforces no policies, so their meaning is computed as Kubernetes defines it.
"""

from __future__ import annotations

from typing import Any

import pytest

from claude_mem_operator.desired import desired
from claude_mem_operator.kube.port import Manifest
from tests.support.kube.network_policy import Peer, may_connect
from tests.support.operator_resources import SHORTEST, Json, inputs, resource

NAMESPACE = "agents"
POSTGRES, VALKEY, SERVER = 5432, 6379, 37877
PORTS = {"postgres": POSTGRES, "valkey": VALKEY, "server": SERVER}

#: Who needs whom; nobody else of the resource may connect.
NEEDED = {
    ("migration", "postgres"),
    ("server", "postgres"),
    ("server", "valkey"),
    ("worker", "postgres"),
    ("worker", "valkey"),
}


class Rendered:
    """The children of a resource: its pods as ends, and the policies about them."""

    def __init__(
        self, spec: Json | None = None, *, name: str = "team-memory", namespace: str = NAMESPACE
    ) -> None:
        whole = resource({**SHORTEST, **(spec or {})}, name=name, namespace=namespace)
        manifests = [one for stage in desired(inputs(whole)) for one in stage.manifests]
        self.policies = [one for one in manifests if one["kind"] == "NetworkPolicy"]
        self._namespace = namespace
        self._pods = {
            one["metadata"]["labels"]["app.kubernetes.io/component"]: one["spec"]["template"]["metadata"][
                "labels"
            ]
            for one in manifests
            if "template" in one.get("spec", {})
        }

    @property
    def components(self) -> set[str]:
        return set(self._pods)

    def pod(self, component: str) -> Peer:
        """A pod as its template makes it."""
        return Peer(namespace=self._namespace, labels=self._pods[component])

    def reaches(self, source: Peer, component: str, port: int | None = None) -> bool:
        return may_connect(
            self.policies, source, self.pod(component), port=PORTS.get(component, 1) if port is None else port
        )


DNS = Peer(namespace="kube-system", labels={"k8s-app": "kube-dns"})
INTERNET = Peer(address="203.0.113.9")
STRANGERS = {
    "a pod beside it": Peer(namespace=NAMESPACE, labels={"app": "agent"}),
    "a pod of another namespace": Peer(namespace="others", labels={"app": "agent"}),
    "somebody outside": INTERNET,
}


def test_each_component_reaches_what_it_needs_and_no_other() -> None:
    found = Rendered()
    assert found.components == {"migration", "postgres", "server", "valkey", "worker"}
    for source in found.components:
        for target in ("postgres", "valkey"):
            expected = (source, target) in NEEDED
            assert found.reaches(found.pod(source), target) is expected, (source, target)
            assert not found.reaches(found.pod(source), target, 22), (source, target)


@pytest.mark.parametrize("who", STRANGERS)
def test_strangers_reach_the_server_and_nothing_else(who: str) -> None:
    found = Rendered()
    reached = {name for name in found.components if found.reaches(STRANGERS[who], name)}
    assert reached == {"server"}
    assert not found.reaches(STRANGERS[who], "server", 22)


@pytest.mark.parametrize("name", ["team-memory", "another"])
def test_another_resource_is_a_stranger(name: str) -> None:
    """One of another name beside it, and one of the same name in another namespace."""
    found = Rendered()
    other = Rendered(name=name, namespace=NAMESPACE if name == "another" else "others")
    for component in other.components:
        source = other.pod(component)
        for target in ("postgres", "valkey"):
            assert not may_connect(
                [*found.policies, *other.policies], source, found.pod(target), port=PORTS[target]
            ), (component, target)


def test_stores_open_no_connections_and_names_are_resolved_by_the_others() -> None:
    found = Rendered()
    for component in found.components:
        pod = found.pod(component)
        is_store = component in {"postgres", "valkey"}
        for protocol in ("UDP", "TCP"):
            asked = may_connect(found.policies, pod, DNS, port=53, protocol=protocol)
            assert asked is not is_store, component
        https = may_connect(found.policies, pod, INTERNET, port=443)
        assert https is (component == "worker"), component
        assert not may_connect(found.policies, pod, INTERNET, port=25), component


@pytest.mark.parametrize(
    ("peer", "admitted"),
    [
        ({"podSelector": {"matchLabels": {"app": "agent"}}}, {"a pod beside it"}),
        (
            {"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]}},
            {"a pod of a labelled namespace"},
        ),
        ({"ipBlock": {"cidr": "203.0.113.0/24", "except": ["203.0.113.128/25"]}}, {"somebody outside"}),
    ],
    ids=["pods", "namespaces", "addresses"],
)
def test_ingress_is_for_those_whom_the_resource_names(peer: dict[str, Any], admitted: set[str]) -> None:
    found = Rendered({"networkPolicy": {"ingressFrom": [peer]}})
    asking = STRANGERS | {
        "a pod of a labelled namespace": Peer(
            namespace="labelled", labels={"app": "other"}, namespace_labels={"team": "a"}
        ),
        "somebody of the exception": Peer(address="203.0.113.200"),
    }
    assert {who for who, source in asking.items() if found.reaches(source, "server")} == admitted


def test_without_policies_everybody_reaches_everything() -> None:
    found = Rendered({"networkPolicy": {"enabled": False}})
    assert found.policies == []
    assert all(found.reaches(stranger, name) for stranger in STRANGERS.values() for name in found.components)


def test_the_evaluator_takes_a_policy_for_what_it_says() -> None:
    """Of a policy by hand: without rules nothing passes, with an empty rule everything does."""

    def policy(**spec: Any) -> Manifest:
        return {"metadata": {"namespace": NAMESPACE}, "spec": {"podSelector": {}, **spec}}

    source, target = STRANGERS["a pod of another namespace"], STRANGERS["a pod beside it"]
    closed, opened = policy(policyTypes=["Ingress"]), policy(policyTypes=["Ingress"], ingress=[{}])
    outgoing = policy(policyTypes=["Egress"])
    assert may_connect([], source, target, port=1)
    assert not may_connect([closed], source, target, port=1)
    assert may_connect([closed, opened], source, target, port=1), "what one of them allows is allowed"
    assert may_connect([outgoing], source, target, port=1), "it is about the other direction"
    assert not may_connect([outgoing], target, source, port=1)
