"""Who may connect to whom: the stores take their clients only, and egress is open only where it must be."""

from __future__ import annotations

from typing import Any

import pytest

from claude_mem_operator.desired import desired
from tests.support.operator_resources import SHORTEST, Json, elsewhere, inputs, resource


def policies(spec: Json | None = None, **changes: Any) -> dict[str, Any]:
    stages = desired(inputs(resource({**SHORTEST, **(spec or {})}), **changes))
    (protection,) = (stage for stage in stages if stage.name == "protection")
    return {
        manifest["metadata"]["name"].removeprefix("team-memory-"): {
            "ingress": [],
            "egress": [],
            **manifest["spec"],
        }
        for manifest in protection.manifests
        if manifest["kind"] == "NetworkPolicy"
    }


def components(rule: Any, side: str) -> set[str]:
    return {peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for peer in rule.get(side, [])}


def ports(rule: Any) -> set[int]:
    return {port["port"] for port in rule["ports"]}


def is_open(policy: Any) -> bool:
    return {} in policy["egress"]


def test_nothing_is_open_that_nobody_needs() -> None:
    found = policies()
    assert found.keys() == {"migration", "postgres", "server", "valkey", "worker"}
    assert all(policy["policyTypes"] == ["Ingress", "Egress"] for policy in found.values())
    (rule,) = found["postgres"]["ingress"]
    assert components(rule, "from") == {"migration", "server", "worker"}
    assert ports(rule) == {5432}
    (rule,) = found["valkey"]["ingress"]
    assert components(rule, "from") == {"server", "worker"}
    assert found["postgres"]["egress"] == found["valkey"]["egress"] == []
    assert found["worker"]["ingress"] == found["migration"]["ingress"] == []
    assert [components(rule, "to") for rule in found["server"]["egress"]] == [set(), {"postgres"}, {"valkey"}]
    assert [ports(rule) for rule in found["server"]["egress"]] == [{53, 5353}, {5432}, {6379}]
    assert ports(found["worker"]["egress"][-1]) == {443}
    assert [components(rule, "to") for rule in found["migration"]["egress"]] == [set(), {"postgres"}]
    assert not any(map(is_open, found.values()))


def test_the_server_is_for_everybody_unless_the_resource_says_for_whom() -> None:
    (rule,) = policies()["server"]["ingress"]
    assert rule == {"ports": [{"port": 37877, "protocol": "TCP"}]}
    peer = {"podSelector": {"matchLabels": {"app": "agent"}}}
    (rule,) = policies({"networkPolicy": {"ingressFrom": [peer]}})["server"]["ingress"]
    assert rule["from"] == [peer]
    assert policies({"networkPolicy": {"ingressFrom": []}})["server"]["ingress"] == []
    assert policies({"networkPolicy": {"enabled": False}}) == {}


def test_a_provider_elsewhere_opens_the_workers_alone() -> None:
    provider = {**SHORTEST["provider"], "baseUrl": "http://llm.models.svc:8080"}
    found = policies({"provider": provider})
    assert {name for name, policy in found.items() if is_open(policy)} == {"worker"}


@pytest.mark.parametrize(
    ("name", "opened"),
    [
        ("HTTPS_PROXY", {"server"}),
        ("https_proxy", {"server"}),
        ("CLAUDE_MEM_REDIS_URL", {"server"}),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", {"server"}),
        ("CLAUDE_MEM_EMBEDDINGS_BASE_URL", {"server"}),
        ("PGHOST", {"migration", "server"}),
        ("CLAUDE_MEM_LOG_LEVEL", set()),
    ],
)
def test_an_address_of_the_users_own_opens_its_component(name: str, opened: set[str]) -> None:
    found = policies({"server": {"env": [{"name": name, "value": "x"}]}})
    assert {component for component, policy in found.items() if is_open(policy)} == opened


def test_the_operators_proxy_opens_all_that_use_it() -> None:
    found = policies(operator_environment={"HTTPS_PROXY": "http://proxy:3128"})
    assert {name for name, policy in found.items() if is_open(policy)} == {"server", "worker"}


def test_stores_elsewhere_may_be_anywhere() -> None:
    found = policies(elsewhere() | {"networkPolicy": {}})
    assert found.keys() == {"migration", "server", "worker"}
    assert all(map(is_open, found.values()))
