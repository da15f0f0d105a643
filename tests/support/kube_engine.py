"""An engine as tests run it: a resource, images, and runs until nothing is left to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from claude_mem_operator.desired import Defaults
from claude_mem_operator.engine.outcome import Outcome
from claude_mem_operator.engine.reconcile import Engine
from claude_mem_operator.kube.kinds import CLAUDE_MEM_SERVER
from claude_mem_operator.kube.port import KubeApi, Manifest, ObjectRef

DEFAULTS = Defaults(runtime_image="runtime:1", postgres_image="postgres:17", valkey_image="valkey:8")
NAMESPACE = "team"


def ref_to(name: str = "memory", namespace: str = NAMESPACE) -> ObjectRef:
    return ObjectRef(CLAUDE_MEM_SERVER, namespace, name)


def resource(name: str = "memory", namespace: str = NAMESPACE, **spec: Any) -> Manifest:
    """A valid resource with a provider whose Secret is `provider_secret`."""
    provider = {"name": "claude", "apiKeySecretRef": {"name": "anthropic", "key": "api-key"}}
    return {
        "apiVersion": CLAUDE_MEM_SERVER.api_version,
        "kind": CLAUDE_MEM_SERVER.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"provider": provider, **spec},
    }


def provider_secret(namespace: str = NAMESPACE) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "anthropic", "namespace": namespace},
        "data": {"api-key": "c2VjcmV0"},
    }


def engine(api: KubeApi, **more: Any) -> Engine:
    """An engine without memory of earlier runs, whose generated secrets are told apart by their kind only."""
    return Engine(
        api,
        defaults=DEFAULTS,
        operator_environment={},
        new_secret=more.pop("new_secret", lambda kind: f"generated-{kind}"),
        **more,
    )


def converge(
    running: Engine, ref: ObjectRef, *, settle: Callable[[], None] = lambda: None, limit: int = 30
) -> Outcome:
    """Reconcile until the outcome is ready, or until there is a problem; `settle` plays the cluster between runs."""
    outcome = running.reconcile(ref)
    for _ in range(limit):
        if outcome.result in {"ready", "problem", "gone", "failed"}:
            return outcome
        settle()
        outcome = running.reconcile(ref)
    raise AssertionError(f"not there after {limit} runs: {outcome}")


def condition(status: Manifest, kind: str) -> Manifest:
    """One condition of a resource's status."""
    found: Manifest = next(one for one in status["conditions"] if one["type"] == kind)
    return found
