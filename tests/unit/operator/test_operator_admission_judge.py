"""The webhook's answers: what it refuses, by which path, what it lets through all the same."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_mem_operator.admission.judge import WARNINGS, Decision, guard, judge
from claude_mem_operator.api import ClaudeMemServer
from tests.support.claude_mem_servers import (
    BAD,
    CHANGES,
    GOOD,
    POLICY_REFUSES,
    POLICY_TAKES,
    SAMPLES,
    Case,
    Change,
    resource,
    sample,
)

DATABASE_URL = "CLAUDE_MEM_SERVER_DATABASE_URL"
SECRET = "hunter2-of-the-database"


def env(*pairs: tuple[str, str], of: str = "server") -> dict[str, Any]:
    return {of: {"env": [{"name": name, "value": value} for name, value in pairs]}}


def create(spec: dict[str, Any], **given: Any) -> Decision:
    return judge({"operation": "CREATE", "object": resource(spec)}, **given)


def update(before: dict[str, Any], after: dict[str, Any]) -> Decision:
    return judge({"operation": "UPDATE", "oldObject": before, "object": after})


def paths(decision: Decision) -> list[str]:
    return [cause.path for cause in decision.causes]


BAD_ENV = [
    ("server", "CLAUDE_MEM_AUTH_MODE", "local-dev"),
    ("server", "CLAUDE_MEM_AUTH_MODE", " Local-Dev "),
    ("worker", "CLAUDE_MEM_AUTH_MODE", "local-dev"),
    ("server", "CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS", "1"),
    ("server", "CLAUDE_MEM_RUNTIME", "worker"),
    ("server", "CLAUDE_MEM_QUEUE_ENGINE", "in-process"),
    ("worker", "CLAUDE_MEM_QUEUE_ENGINE", "kafka"),
    ("worker", "CLAUDE_MEM_QUEUE_ENGINE", ""),
    ("server", "CLAUDE_MEM_GENERATION_DISABLED", "false"),
    ("server", "CLAUDE_MEM_GENERATION_DISABLED", ""),
    ("worker", "CLAUDE_MEM_SERVER_PROVIDER", "offline"),
    ("worker", "CLAUDE_MEM_SERVER_PROVIDER", "llama"),
    ("worker", "ANTHROPIC_API_KEY", ""),
    ("server", DATABASE_URL, ""),
    ("server", DATABASE_URL, "mysql://host/db"),
    ("server", DATABASE_URL, f"postgres://memory:{SECRET}@host/db"),
    ("worker", "CLAUDE_MEM_REDIS_URL", f"redis://:{SECRET}@host/0"),
    ("server", "CLAUDE_MEM_POSTGRES_SSL", "on"),
    ("worker", "CLAUDE_MEM_JOB_HEARTBEAT_SECONDS", "60"),
    ("server", "CLAUDE_MEM_SERVER_PORT", "80"),
    ("worker", "CLAUDE_MEM_DATA_DIR", "/data"),
]


@pytest.mark.parametrize(("component", "variable", "value"), BAD_ENV)
def test_an_environment_that_cannot_start_is_refused(component: str, variable: str, value: str) -> None:
    decision = create(env(("HARMLESS", "1"), (variable, value), of=component))
    assert not decision.allowed
    assert all(path.startswith(f"spec.{component}.env[1].") for path in paths(decision))
    assert decision.message.startswith(f"spec.{component}.env[1].") or "\n  - spec." in decision.message
    assert variable in decision.message
    assert SECRET not in repr(decision)


@pytest.mark.parametrize(("component", "variable", "value"), POLICY_REFUSES)
def test_what_the_policy_refuses_is_refused_here_too(component: str, variable: str, value: str) -> None:
    assert not create(env((variable, value), of=component)).allowed


@pytest.mark.parametrize(("component", "variable", "value"), POLICY_TAKES)
def test_the_policy_is_no_stricter(component: str, variable: str, value: str) -> None:
    assert create(env((variable, value), of=component)).allowed


def test_the_refusal_says_where_what_and_what_to_write() -> None:
    decision = create(env(("CLAUDE_MEM_AUTH_MODE", "local-dev")))
    assert decision.message == (
        "spec.server.env[0].value: CLAUDE_MEM_AUTH_MODE=local-dev is not allowed in Docker or any other "
        "container: it admits callers without a key, which is for one person's own machine. Set "
        "CLAUDE_MEM_AUTH_MODE=api-key or leave it out."
    )
    assert decision.causes[0].value == "local-dev"


def test_a_value_that_the_rule_does_not_name_is_shown() -> None:
    assert "(It is nope.)" in create(env(("CLAUDE_MEM_GENERATION_DISABLED", "nope"))).message


def test_what_comes_from_a_secret_counts_as_set_and_is_not_judged() -> None:
    source = {"secretKeyRef": {"name": "other", "key": "url"}}
    assert create({"server": {"env": [{"name": DATABASE_URL, "valueFrom": source}]}}).allowed


def test_a_password_may_be_another_variables_value() -> None:
    assert create(env((DATABASE_URL, "postgresql://memory:$(PGPASSWORD)@host/db"))).allowed


@pytest.mark.parametrize("name", sorted(path.stem for path in SAMPLES.glob("*.yaml")))
def test_samples_are_allowed(name: str) -> None:
    decision = judge({"operation": "CREATE", "object": sample(name), "dryRun": True})
    assert decision.allowed, decision.message


def test_samples_but_the_full_one_give_no_warning() -> None:
    for name in ("minimal", "production"):
        assert judge({"operation": "CREATE", "object": sample(name)}).warnings == (), name


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_what_the_schema_takes_is_allowed(case: Case) -> None:
    assert create(case.spec).allowed


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_what_the_schema_refuses_is_refused_here_too(case: Case) -> None:
    decision = judge({"operation": "CREATE", "object": resource(case.spec, name=case.resource_name)})
    assert not decision.allowed
    assert decision.causes[0].path.endswith(case.path or "")


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_changes_that_the_schema_refuses_are_refused_here_too(change: Change) -> None:
    decision = update(resource(change.before), resource(change.after))
    assert paths(decision) == ([] if change.path is None else [change.path])


def test_the_operators_own_environment_is_judged_and_named() -> None:
    decision = create({}, operator_environment={"CLAUDE_MEM_QUEUE_ENGINE": "in-process"})
    assert paths(decision) == ["spec.server.env", "spec.worker.env"]
    assert "The operator was given it for all resources" in decision.message
    overruled = {of: env(("CLAUDE_MEM_QUEUE_ENGINE", "dramatiq"))["server"] for of in ("server", "worker")}
    assert create(overruled, operator_environment={"CLAUDE_MEM_QUEUE_ENGINE": "in-process"}).allowed


LOCAL_DEV = resource(env(("CLAUDE_MEM_AUTH_MODE", "local-dev")))


def test_an_old_mistake_may_stay_with_a_warning() -> None:
    after = copy.deepcopy(LOCAL_DEV)
    after["spec"]["paused"] = True
    decision = update(LOCAL_DEV, after)
    assert decision.allowed
    assert decision.warnings[0].startswith("spec.server.env[0].value: was so before and may stay")


def test_it_may_move_but_not_spread_or_change() -> None:
    entry = LOCAL_DEV["spec"]["server"]["env"][0]
    moved = resource({"server": {"env": [{"name": "NEW"}, entry]}})
    assert update(LOCAL_DEV, moved).allowed
    spread = resource({"server": {"env": [entry]}, "worker": {"env": [entry]}})
    assert paths(update(LOCAL_DEV, spread)) == ["spec.worker.env[0].value"]
    bypass = resource(env(("CLAUDE_MEM_AUTH_MODE", "local-dev"), ("CLAUDE_MEM_RUNTIME", "worker")))
    assert paths(update(LOCAL_DEV, bypass)) == ["spec.server.env[1].value"]


def test_a_mistake_may_be_mended_and_not_made_again() -> None:
    assert update(LOCAL_DEV, resource()).warnings == ()
    assert not update(resource(), LOCAL_DEV).allowed


def test_an_old_resource_that_can_no_longer_be_read_may_be_changed_elsewhere() -> None:
    before = resource({"server": {"replicas": 5000}})
    after = resource({"server": {"replicas": 5000}, "paused": True})
    decision = update(before, after)
    assert decision.allowed
    assert decision.warnings[0].startswith("spec.server.replicas: was so before")
    worse = resource({"server": {"replicas": 5000}, "worker": {"replicas": 5000}})
    assert paths(update(before, worse)) == ["spec.worker.replicas"]


def test_mending_what_could_not_be_read_does_not_ask_for_the_rest() -> None:
    before = resource({**env(("CLAUDE_MEM_AUTH_MODE", "local-dev")), "worker": {"replicas": 5000}})
    after = resource(env(("CLAUDE_MEM_AUTH_MODE", "local-dev")))
    assert update(before, after).allowed
    assert paths(update(before, resource(env(("CLAUDE_MEM_RUNTIME", "x"))))) == ["spec.server.env[0].value"]


@pytest.mark.parametrize(
    "request_",
    [
        {"operation": "DELETE", "oldObject": LOCAL_DEV},
        {"operation": "UPDATE", "subResource": "status", "oldObject": LOCAL_DEV, "object": LOCAL_DEV},
        {"operation": "UPDATE", "subResource": "scale", "object": {"kind": "Scale"}},
        {"operation": "UPDATE", "oldObject": LOCAL_DEV,
         "object": {**LOCAL_DEV, "metadata": {"name": "team-memory", "finalizers": []}}},
        {"operation": "UPDATE", "oldObject": resource(),
         "object": {**LOCAL_DEV, "metadata": {"name": "x", "deletionTimestamp": "2026-01-01T00:00:00Z"}}},
    ],
)  # fmt: skip
def test_deletion_status_and_metadata_are_never_held_up(request_: dict[str, Any]) -> None:
    assert judge(request_) == Decision(allowed=True)


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"operation": "PATCH"},
        {"operation": "CREATE"},
        {"operation": "CREATE", "object": []},
        {"operation": "CREATE", "object": {"metadata": "x"}},
        {"operation": "UPDATE", "object": resource()},
        {"operation": "CREATE", "object": {"metadata": {}}},
    ],
)
def test_what_is_no_request_is_refused_with_the_reason(request_: dict[str, Any]) -> None:
    decision = judge(request_)
    assert not decision.allowed
    assert decision.message
    assert decision.causes


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=6), inner, max_size=2),
    max_leaves=5,
)
PART = JSON | st.just(resource()) | st.just(LOCAL_DEV)


@settings(deadline=None)
@given(
    operation=st.sampled_from(["CREATE", "UPDATE", "DELETE", "", None]),
    new=PART,
    old=PART,
    subresource=st.none() | st.text(max_size=3),
)
def test_no_request_is_a_crash(operation: Any, new: Any, old: Any, subresource: str | None) -> None:
    request = {"operation": operation, "object": new, "oldObject": old, "subResource": subresource}
    decision = judge(request)
    assert decision.allowed == (decision.causes == ())


def warnings_of(spec: dict[str, Any]) -> str:
    decision = create(spec)
    assert decision.allowed, decision.message
    return "\n".join(decision.warnings)


@pytest.mark.parametrize(
    ("spec", "path", "word"),
    [
        (env(("CLAUDE_MEM_REDIS_HOST", "x")), "spec.server.env[0].value", "CLAUDE_MEM_REDIS_URL"),
        (env(("CLAUDE_MEM_LOG_LEVEL", "LOUD")), "spec.server.env[0].value", "LOUD"),
        ({"worker": {"replicas": 3}}, "spec.worker.replicas", "no effect"),
        ({"worker": {"replicas": 0, "autoscaling": {"enabled": False}}}, "spec.worker.replicas", "wait"),
        ({"server": {"replicas": 0}}, "spec.server.replicas", "nothing is answered"),
        ({"worker": {"resources": {"requests": {"cpu": "0"}}}}, "spec.worker.resources.requests", "cpu"),
        ({"worker": {"resources": {"requests": {"memory": "299Mi"}}}},
         "spec.worker.resources.requests.memory", "ask for 300Mi"),
        ({"worker": {"autoscaling": {"targetMemoryUtilizationPercentage": 60}}},
         "spec.worker.resources.requests.memory", "ask for 400Mi"),
        ({"worker": {"autoscaling": {"maxReplicas": 40}}}, "spec.postgres.managed.resources", "840 connections"),
        ({"server": {"replicas": 20}}, "spec.postgres.managed.resources", "for 492"),
        ({"server": {"podDisruptionBudget": {"minAvailable": 2}}}, "spec.server.podDisruptionBudget", "drained"),
        ({"server": {"podDisruptionBudget": {"maxUnavailable": 0}}}, "spec.server.podDisruptionBudget", "drained"),
        ({"postgres": {"external": {"urlSecretRef": {"name": "a", "key": "b"}}},
          "worker": {"autoscaling": {"maxReplicas": 20}}}, "spec.postgres.external", "220"),
        (env(("ANTHROPIC_API_KEY", SECRET), of="worker"), "spec.worker.env[0].value", "secretKeyRef"),
        ({"provider": {"baseUrl": "http://gateway/v1"}}, "spec.provider.baseUrl", "https"),
        ({"server": {"ingress": {"host": "a.example.com"}}}, "spec.server.ingress", "tlsSecretName"),
    ],
)  # fmt: skip
def test_what_may_surprise_is_warned_of(spec: dict[str, Any], path: str, word: str) -> None:
    told = warnings_of(spec)
    assert f"{path}: " in told
    assert word in told
    assert SECRET not in told


@pytest.mark.parametrize("resources", [{}, {"limits": {"memory": "1Gi"}}, {"requests": {"memory": "1Gi"}}])
def test_a_request_that_the_operator_adds_is_not_missed(resources: dict[str, Any]) -> None:
    assert warnings_of({"worker": {"resources": resources}}) == ""


@pytest.mark.parametrize(
    "worker",
    [
        {"resources": {"requests": {"memory": "300Mi"}}},
        {
            "resources": {"requests": {"memory": "64Mi"}},
            "autoscaling": {"targetMemoryUtilizationPercentage": 1000},
        },
        {"resources": {"requests": {"memory": "64Mi"}}, "autoscaling": {"enabled": False}},
    ],
)
def test_a_request_of_memory_that_leaves_room_is_not_warned_of(worker: dict[str, Any]) -> None:
    assert warnings_of({"worker": worker}) == ""


def test_warnings_fit_into_a_header() -> None:
    many = [(f"CLAUDE_MEM_{name}", "x" * 500) for name in ("LOG_LEVEL", "LOG_FORMAT", "MODE", "LANGUAGE")]
    decision = create({**env(*many), **env(*many, of="worker")})
    assert len(decision.warnings) <= WARNINGS
    assert all(len(warning) <= 256 for warning in decision.warnings)


def test_the_guard_gives_paths_only() -> None:
    bad = resource(env(("CLAUDE_MEM_AUTH_MODE", "local-dev"), (DATABASE_URL, f"postgres://a:{SECRET}@h/d")))
    assert guard(ClaudeMemServer.parse(bad)) == ("spec.server.env[1].value", "spec.server.env[0].value")
    assert guard(ClaudeMemServer.parse(resource())) == ()
    own = {"CLAUDE_MEM_RUNTIME": "worker"}
    assert guard(ClaudeMemServer.parse(resource()), operator_environment=own) != ()
