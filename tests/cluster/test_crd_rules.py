"""The CRD and the admission policy on a real API server: what it takes, refuses, defaults and explains."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from claude_mem_operator.api import GROUP, PLURAL, VERSION, ClaudeMemServer
from claude_mem_operator.api.changes import forbidden_changes
from claude_mem_operator.api.crd import crd
from tests.support.claude_mem_servers import (
    BAD,
    CHANGES,
    GOOD,
    POLICY_REFUSES,
    POLICY_TAKES,
    SAMPLES,
    Case,
    Change,
    env,
    install_crd,
    policy,
    resource,
    sample,
)
from tests.support.kube.control_plane import ControlPlane
from tests.support.kube.kubectl import KubectlError
from tests.support.processes import wait_until


class Servers:
    """The ClaudeMemServers of one namespace; what is created in it, is so for a dry run unless said."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._objects: Any = client.CustomObjectsApi(api)
        self._where = {"group": GROUP, "version": VERSION, "namespace": namespace, "plural": PLURAL}

    def create(self, manifest: dict[str, Any], *, keep: bool = False) -> dict[str, Any]:
        created: dict[str, Any] = self._objects.create_namespaced_custom_object(
            **self._where, body=manifest, **({} if keep else {"dry_run": "All"}), field_validation="Strict"
        )
        return created

    def change(self, name: str, patch: dict[str, Any]) -> dict[str, Any]:
        changed: dict[str, Any] = self._objects.patch_namespaced_custom_object(
            **self._where, name=name, body=patch
        )
        return changed

    def replace(self, manifest: dict[str, Any]) -> None:
        name = manifest["metadata"]["name"]
        current = self._objects.get_namespaced_custom_object(**self._where, name=name)
        version = current["metadata"]["resourceVersion"]
        body = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": version}}
        self._objects.replace_namespaced_custom_object(**self._where, name=name, body=body)

    def delete(self, name: str) -> None:
        self._objects.delete_namespaced_custom_object(**self._where, name=name)


def _blamed(refused: ApiException) -> list[tuple[str, str]]:
    """Fields and messages of a refusal."""
    details = json.loads(str(refused.body))["details"]
    return [(cause.get("field", ""), cause["message"]) for cause in details["causes"]]


@pytest.fixture(scope="module")
def served(control_plane: ControlPlane) -> ControlPlane:
    """The control plane with the CRD that is checked in."""
    install_crd(control_plane.kubectl)
    return control_plane


@pytest.fixture
def servers(served: ControlPlane, namespace: str) -> Iterator[Servers]:
    with served.client() as api:
        yield Servers(api, namespace)


@pytest.fixture(scope="module")
def asked(served: ControlPlane) -> Iterator[Servers]:
    """A namespace for dry runs only."""
    with served.client() as api:
        yield Servers(api, "default")


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_what_is_sound_is_taken(asked: Servers, case: Case) -> None:
    asked.create(resource(case.spec, name=case.resource_name))


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_what_is_not_is_refused_by_the_field(asked: Servers, case: Case) -> None:
    with pytest.raises(ApiException) as refused:
        asked.create(resource(case.spec, name=case.resource_name))
    assert refused.value.status == 422
    blamed = _blamed(refused.value)
    assert any((case.path or "") in field for field, _ in blamed), blamed


def test_every_rule_refuses_something(asked: Servers) -> None:
    told = set()
    for case in BAD:
        with pytest.raises(ApiException) as refused:
            asked.create(resource(case.spec, name=case.resource_name))
        told |= {message for _, message in _blamed(refused.value)}
    rules = {rule["message"] for rule in _rules(crd()) if "oldSelf" not in rule["rule"]}
    assert {rule for rule in rules if not any(rule in message for message in told)} == set()


def _rules(node: Any) -> Iterator[dict[str, str]]:
    if isinstance(node, dict):
        yield from node.get("x-kubernetes-validations", ())
        for child in node.values():
            yield from _rules(child)
    elif isinstance(node, list):
        for child in node:
            yield from _rules(child)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_changes_are_judged_by_the_field(servers: Servers, change: Change) -> None:
    servers.create(resource(change.before), keep=True)
    if change.path is None:
        servers.replace(resource(change.after))
        return
    with pytest.raises(ApiException) as refused:
        servers.replace(resource(change.after))
    before, after = (ClaudeMemServer.parse(resource(spec)) for spec in (change.before, change.after))
    (problem,) = forbidden_changes(after, before)
    assert any(problem.path in field and problem.message in text for field, text in _blamed(refused.value))


@pytest.mark.parametrize("name", sorted(path.stem for path in SAMPLES.glob("*.yaml")))
def test_samples_apply_unedited(served: ControlPlane, namespace: str, name: str) -> None:
    served.kubectl("-n", namespace, "apply", "--filename", str(SAMPLES / f"{name}.yaml"))


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _without_empty(child) for key, child in value.items()}
        return {key: child for key, child in kept.items() if child not in ({}, [], None)}
    return [_without_empty(child) for child in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", ["minimal", "external", "production", "full"])
def test_the_server_fills_in_the_defaults_that_the_models_have(asked: Servers, name: str) -> None:
    filled = asked.create(sample(name))
    read = ClaudeMemServer.parse(sample(name)).spec
    assert ClaudeMemServer.parse(filled).spec == read
    assert _without_empty(_texts(filled["spec"])) == _without_empty(_texts(read.manifest()))


def _texts(spec: dict[str, Any]) -> dict[str, Any]:
    """A spec with its quantities as text, as the models hold them."""
    for component in ("server", "worker"):
        for amounts in spec[component]["resources"].values():
            amounts.update({name: str(amount) for name, amount in amounts.items()})
    for store in (spec["postgres"].get("managed"), spec["valkey"].get("managed")):
        for amounts in (store or {}).get("resources", {}).values():
            amounts.update({name: str(amount) for name, amount in amounts.items()})
    return spec


def test_an_unknown_field_is_refused(asked: Servers) -> None:
    with pytest.raises(ApiException, match="unknown field"):
        asked.create(resource({"server": {"replica": 2}}))


def test_explain_tells_of_fields(served: ControlPlane) -> None:
    def is_told() -> bool:
        """Whether it is: descriptions are published after a definition, and asking for one before fails."""
        with suppress(KubectlError):
            told = served.kubectl("explain", "cms.spec.worker.autoscaling.targetCPUUtilizationPercentage")
            return "in percent of the workers' CPU request" in told
        return False

    wait_until(is_told, what="the description", timeout=300)


def test_it_scales_workers_and_shows_columns(served: ControlPlane, servers: Servers, namespace: str) -> None:
    servers.create(resource(), keep=True)
    kubectl = served.kubectl
    kubectl("-n", namespace, "scale", "cms/team-memory", "--replicas=3")
    assert kubectl.json("-n", namespace, "get", "cms", "team-memory")["spec"]["worker"]["replicas"] == 3
    header, row = kubectl("-n", namespace, "get", "cms").splitlines()
    assert header.split() == ["NAME", "READY", "PHASE", "SERVER", "WORKERS", "AGE"]
    assert row.startswith("team-memory")
    assert "claudememserver.claude-mem.dev/team-memory" in kubectl("-n", namespace, "get", "all")


def test_a_status_of_the_models_is_taken(served: ControlPlane, servers: Servers, namespace: str) -> None:
    servers.create(resource(), keep=True)
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "AllReady",
        "message": "It works.",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "observedGeneration": 1,
    }
    status = {"phase": "Ready", "worker": {"replicas": 1, "selector": "a=b"}, "conditions": [condition]}
    patch = json.dumps({"status": status})
    kubectl = served.kubectl
    kubectl("-n", namespace, "patch", "cms/team-memory", "--subresource=status", "--type=merge", "-p", patch)
    read = ClaudeMemServer.parse(kubectl.json("-n", namespace, "get", "cms", "team-memory")).status
    assert read.phase == "Ready"
    assert read.conditions[0].message == "It works."


@pytest.fixture
def policed(served: ControlPlane, servers: Servers) -> Iterator[Servers]:
    """The namespace, with a resource from before, and the policy in force."""
    servers.create(resource(env("server", "CLAUDE_MEM_AUTH_MODE", "local-dev"), name="old"), keep=True)
    served.kubectl.apply(*policy())
    try:
        wait_until(lambda: _is_policed(servers), what="the policy to count", timeout=300)
        yield servers
    finally:
        for manifest in reversed(policy()):
            served.kubectl("delete", manifest["kind"].lower(), manifest["metadata"]["name"])
        wait_until(lambda: not _is_policed(servers), what="the policy's end", timeout=300)


def _is_policed(servers: Servers) -> bool:
    try:
        servers.create(resource(env("server", "CLAUDE_MEM_AUTH_MODE", "local-dev"), name="probe"))
    except ApiException:
        return True
    return False


def test_the_policy_refuses_what_must_not_run_and_takes_the_rest(policed: Servers) -> None:
    for component, name, value in POLICY_REFUSES:
        with pytest.raises(ApiException) as refused:
            policed.create(resource(env(component, name, value), name="other"))
        assert refused.value.status == 422, (name, value)
        message = json.loads(str(refused.value.body))["message"]
        assert f"spec.{component}.env: {name}" in message, message
    for component, name, value in POLICY_TAKES:
        policed.create(resource(env(component, name, value), name="other"))
    referring = env("worker", "CLAUDE_MEM_QUEUE_ENGINE", "$(ENGINE)")
    policed.create(resource(referring, name="other"))  # what it refers to is the webhook's to know
    for sample_name in ("minimal", "external", "production", "full"):
        policed.create(sample(sample_name))


def test_the_policy_lets_what_was_so_before_be(policed: Servers) -> None:
    policed.change("old", {"metadata": {"annotations": {"a": "b"}}})
    policed.change("old", {"spec": {"paused": True}})
    with pytest.raises(ApiException, match=r"spec\.worker\.env"):
        policed.change("old", {"spec": env("worker", "CLAUDE_MEM_AUTH_MODE", "local-dev")})
    policed.change("old", {"metadata": {"finalizers": ["example.com/wait"]}})
    policed.delete("old")
    policed.change("old", {"metadata": {"finalizers": None}})
