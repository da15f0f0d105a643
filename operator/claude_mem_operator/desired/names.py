"""What children are called, which labels they carry, and whose they are."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from claude_mem_operator.api import API_VERSION, KIND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_mem_operator.api import ClaudeMemServer
    from claude_mem_operator.desired.types import Manifest

MANAGER: Final = "claude-mem-operator"
PREFIX: Final = "claude-mem.dev"
OWNER_LABEL: Final = f"{PREFIX}/owner-uid"
#: Marks children that outlive the resource, so that a later one of the same name takes them over.
RETAINED_LABEL: Final = f"{PREFIX}/retained"
CONTENT_ANNOTATION: Final = f"{PREFIX}/content"
REFERENCES_ANNOTATION: Final = f"{PREFIX}/references"
RETRY_ANNOTATION: Final = f"{PREFIX}/retry"

SERVER_PORT: Final = 37_877
POSTGRES_PORT: Final = 5432
VALKEY_PORT: Final = 6379


class Component(StrEnum):
    """The parts of a memory service, as `app.kubernetes.io/component` names them."""

    SHARED = "shared"
    POSTGRES = "postgres"
    VALKEY = "valkey"
    MIGRATION = "migration"
    SERVER = "server"
    WORKER = "worker"


def child_name(resource: ClaudeMemServer, component: Component) -> str:
    """The name of a component's main object; what is shared has the resource's own name."""
    name = resource.metadata.name
    return name if component is Component.SHARED else f"{name}-{component.value}"


def credentials_name(resource: ClaudeMemServer, component: Component) -> str:
    """The Secret with a managed store's generated password."""
    return f"{child_name(resource, component)}-credentials"


def claim_name(resource: ClaudeMemServer, component: Component) -> str:
    """The claim that a store's StatefulSet makes of its template `data`, for its only pod."""
    return f"data-{child_name(resource, component)}-0"


def selector(resource: ClaudeMemServer, component: Component) -> dict[str, str]:
    """The labels that select a component's pods: few, and never changed."""
    return {
        "app.kubernetes.io/component": component.value,
        "app.kubernetes.io/instance": resource.metadata.name,
        "app.kubernetes.io/name": "claude-mem",
    }


def labels(resource: ClaudeMemServer, component: Component) -> dict[str, str]:
    """The labels of a component's objects and pods."""
    return selector(resource, component) | {
        "app.kubernetes.io/managed-by": MANAGER,
        "app.kubernetes.io/part-of": "claude-mem",
        OWNER_LABEL: resource.metadata.uid,
    }


def child(  # noqa: PLR0913 - an object has this many sides
    resource: ClaudeMemServer,
    component: Component,
    *,
    api_version: str,
    kind: str,
    body: Mapping[str, Any],
    name: str | None = None,
    annotations: Mapping[str, str] | None = None,
    more_labels: Mapping[str, str] | None = None,
    owned: bool = True,
) -> Manifest:
    """A child's manifest.

    Parameters:
        body: what stands beside the metadata.
        name: where it is not the component's own.
        more_labels: those that somebody else asks for; the operator's own win.
        owned: whether garbage collection removes it with the resource.
    """
    given = {**(more_labels or {}), **labels(resource, component)}
    metadata: Manifest = {
        "name": name or child_name(resource, component),
        "namespace": resource.metadata.namespace,
        "labels": dict(sorted((given if owned else given | {RETAINED_LABEL: "true"}).items())),
    }
    if annotations:
        metadata["annotations"] = dict(sorted(annotations.items()))
    if owned:
        metadata["ownerReferences"] = [_owner(resource)]
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}


def _owner(resource: ClaudeMemServer) -> Manifest:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": resource.metadata.name,
        "uid": resource.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
