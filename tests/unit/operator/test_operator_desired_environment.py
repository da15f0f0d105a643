"""What each process is told: it passes the rules by which it judges itself, and nobody else's secrets are in it."""

from __future__ import annotations

from typing import Any

import pytest

from claude_mem.environment import Role, check
from claude_mem_operator.desired import EnvironmentOf, component_environments
from claude_mem_operator.desired.environment import expand
from tests.support.operator_resources import FULL, SHORTEST, Json, elsewhere, resource


def environments(spec: Json | None = None, **operator: str) -> dict[Role, EnvironmentOf]:
    return component_environments(resource(spec), operator)


def named(environment: EnvironmentOf) -> dict[str, Any]:
    return {variable["name"]: variable for variable in environment.env}


@pytest.mark.parametrize("spec", [SHORTEST, FULL, elsewhere()])
@pytest.mark.parametrize("role", list(Role))
def test_a_process_may_start_with_what_it_is_told(spec: Json, role: Role) -> None:
    found = environments(spec)[role]
    verdict = check(found.values, role=role, container=True, opaque=found.opaque)
    assert verdict.errors == ()
    assert verdict.warnings == ()


def test_only_workers_have_the_providers_keys() -> None:
    found = environments(FULL)
    assert "ANTHROPIC_API_KEY" in found[Role.WORKER].opaque
    assert "GEMINI_API_KEY" in found[Role.WORKER].opaque
    assert not any("API_KEY" in name for name in named(found[Role.SERVER]))
    assert found[Role.WORKER].values["CLAUDE_MEM_SERVER_PROVIDER_FALLBACKS"] == "gemini:gemini-flash-latest"
    assert found[Role.SERVER].values["CLAUDE_MEM_GENERATION_DISABLED"] == "true"


def test_each_decision_of_the_resource_has_its_path() -> None:
    found = environments(FULL)
    paths = found[Role.WORKER].paths
    assert paths["CLAUDE_MEM_SERVER_PROVIDER"] == "spec.provider.name"
    assert paths["GEMINI_API_KEY"] == "spec.provider.fallbacks[0].apiKeySecretRef"
    assert paths["EXTRA"] == "spec.worker.env[0].value"
    assert paths["FROM_SECRET"] == "spec.worker.env[1].valueFrom"
    assert found[Role.SERVER].paths["EXTRA"] == "spec.server.env[0].value"
    assert "CLAUDE_MEM_RUNTIME" not in paths
    operators = environments(FULL, HTTPS_PROXY="http://proxy:3128", EXTRA="operator's")
    assert operators[Role.SERVER].values["HTTPS_PROXY"] == "http://proxy:3128"
    assert "HTTPS_PROXY" not in operators[Role.SERVER].paths
    assert operators[Role.SERVER].values["EXTRA"] == "extra", "the resource's own wins"


def test_a_variable_of_the_resource_takes_the_operators_place_once() -> None:
    env = [
        {"name": "CLAUDE_MEM_LOG_LEVEL", "value": "ERROR"},
        {"name": "CLAUDE_MEM_REDIS_URL", "valueFrom": {"secretKeyRef": {"name": "mine", "key": "url"}}},
    ]
    found = environments({**SHORTEST, "server": {"env": env}})
    names = [variable["name"] for variable in found[Role.SERVER].env]
    assert len(names) == len(set(names))
    assert found[Role.SERVER].values["CLAUDE_MEM_LOG_LEVEL"] == "ERROR"
    assert found[Role.SERVER].paths["CLAUDE_MEM_LOG_LEVEL"] == "spec.server.env[0].value"
    assert "CLAUDE_MEM_REDIS_URL" in found[Role.SERVER].opaque
    assert found[Role.WORKER].values["CLAUDE_MEM_LOG_LEVEL"] == "INFO"


def test_a_password_reaches_its_url_by_reference_and_is_defined_before_it() -> None:
    found = environments()[Role.WORKER]
    names = [variable["name"] for variable in found.env]
    assert names.index("VALKEY_PASSWORD") < names.index("CLAUDE_MEM_REDIS_URL")
    url = named(found)["CLAUDE_MEM_REDIS_URL"]["value"]
    assert url == "redis://:$(VALKEY_PASSWORD)@team-memory-valkey:6379/0"
    assert {"VALKEY_PASSWORD", "CLAUDE_MEM_REDIS_URL", "PGPASSWORD"} <= found.opaque
    assert found.references == (
        "Secret/anthropic/api-key",
        "Secret/team-memory-postgres-credentials/password",
        "Secret/team-memory-valkey-credentials/password",
    )


def test_an_empty_variable_is_as_the_api_server_stores_it() -> None:
    env = [{"name": "EMPTY", "value": ""}, {"name": "BARE"}]
    found = environments({**SHORTEST, "server": {"env": env}}, BLANK="")[Role.SERVER]
    for name in ("EMPTY", "BARE", "BLANK"):
        assert named(found)[name] == {"name": name}
        assert found.values[name] == ""


def test_what_the_resource_says_in_words_is_never_a_reference() -> None:
    spec = {**SHORTEST, "provider": {**SHORTEST["provider"], "model": "$(PGPASSWORD)"}}
    found = environments(spec)[Role.WORKER]
    assert named(found)["CLAUDE_MEM_SERVER_MODEL"]["value"] == "$$(PGPASSWORD)"
    assert found.values["CLAUDE_MEM_SERVER_MODEL"] == "$(PGPASSWORD)"


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain", "plain"),
        ("$(A)-$(A)", "1-1"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(B)", "$(B)"),
        ("$(A", "$(A"),
        ("$A", "$A"),
        ("a$", "a$"),
        ("$(SECRET)", None),
        ("$$(SECRET)", "$(SECRET)"),
        ("", ""),
    ],
)
def test_references_are_replaced_as_the_kubelet_does(text: str, expanded: str | None) -> None:
    assert expand(text, {"A": "1"}, frozenset({"SECRET"})) == expanded


def test_a_value_made_of_a_secret_is_as_opaque_as_the_secret() -> None:
    env = [
        {"name": "X", "value": "a-$(PGPASSWORD)"},
        {"name": "Y", "value": "$(X)"},
        {"name": "Z", "value": "$(PGUSER)"},
    ]
    found = environments({**SHORTEST, "server": {"env": env}})[Role.SERVER]
    assert {"X", "Y"} <= found.opaque
    assert found.values["Z"] == "claude_mem"
