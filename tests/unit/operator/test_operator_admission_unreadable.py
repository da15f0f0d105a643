"""The webhook's answers about changes of a resource that breaks rules: the rest of it is judged as any other."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from claude_mem_operator.admission.judge import Decision, judge
from tests.support.claude_mem_servers import resource

TOO_LONG = "m" * 60
#: What an earlier version took and this one does not; each within another part of the resource.
UNREADABLE: list[dict[str, Any]] = [
    {"server": {"replicas": 5000}},
    {"worker": {"replicas": 5000, "autoscaling": {"minReplicas": 9, "maxReplicas": 2}}},
    {"worker": {"autoscaling": {"minReplicas": 20}}},
    {"provider": {"name": "nobody"}},
    {"unheardOf": True},
    {"postgres": {"managed": {"storage": "lots"}}},
    {"server": {"env": [{"name": "NUMBER", "value": 1}, {"name": "EXTRA", "value": "1"}, 7]}},
    {"networkPolicy": {"ingressFrom": [1, 2]}},
    {"server": {"podDisruptionBudget": {"minAvailable": "many"}}},
]


def both(spec: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """A spec with the fields of both; lists one after the other."""
    found = copy.deepcopy(spec)
    for name, part in more.items():
        if isinstance(part, dict):
            found[name] = both(found.get(name, {}), part)
        else:
            found[name] = [*found.get(name, []), *part] if isinstance(part, list) else part
    return found


BAD_ENV = [
    ("server", "CLAUDE_MEM_AUTH_MODE", "local-dev"),
    ("worker", "CLAUDE_MEM_AUTH_MODE", "local-dev"),
    ("worker", "ANTHROPIC_API_KEY", ""),
    ("worker", "CLAUDE_MEM_REDIS_URL", "redis://:hunter2@host/0"),
]


def update(before: dict[str, Any], after: dict[str, Any]) -> Decision:
    return judge({"operation": "UPDATE", "oldObject": before, "object": after})


def paths(decision: Decision) -> list[str]:
    return [cause.path for cause in decision.causes]


@pytest.mark.parametrize("name", ["team-memory", TOO_LONG])
@pytest.mark.parametrize("old", UNREADABLE)
@pytest.mark.parametrize(("component", "variable", "value"), BAD_ENV)
def test_an_old_resource_that_can_no_longer_be_read_lets_no_new_mistake_pass(
    old: dict[str, Any], component: str, variable: str, value: str, name: str
) -> None:
    def of(spec: dict[str, Any]) -> dict[str, Any]:
        return resource(spec, name=name)

    bad = both(old, {component: {"env": [{"name": variable, "value": value}]}})
    decision = update(of(old), of(bad))
    index = len(bad[component]["env"]) - 1
    assert not decision.allowed
    assert all(path.startswith(f"spec.{component}.env[{index}]") for path in paths(decision)), paths(decision)
    assert update(of(bad), of({**bad, "paused": True})).allowed, "what was so before may stay"
    assert update(of(bad), of(old)).allowed


def test_an_old_resource_that_can_no_longer_be_read_may_not_change_what_cannot_change() -> None:
    old = {"server": {"replicas": 5000}, "postgres": {"managed": {"storage": "20Gi"}}}
    smaller = {**old, "postgres": {"managed": {"storage": "10Gi"}}}
    assert paths(update(resource(old), resource(smaller))) == ["spec.postgres.managed.storage"]
    unread = {"postgres": {"managed": {"storage": "lots"}}}
    mended = {"postgres": {"managed": {"storage": "5Gi"}}}
    assert update(resource(unread), resource(mended)).allowed, "lots is not known to be more"
