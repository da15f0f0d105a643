"""Whom processes trust as the stores that run elsewhere: keys of Secrets, as files where a variable of theirs says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from claude_mem.environment.catalogue import service
from claude_mem_operator.desired.names import Component

if TYPE_CHECKING:
    from claude_mem_operator.api import ClaudeMemServer, SecretKeyRef

#: By store, the variable that names the file.
VARIABLES: Final = {
    Component.POSTGRES: service.PGSSLROOTCERT.name,
    Component.VALKEY: service.REDIS_CA_FILE.name,
}
FILE: Final = "ca.crt"


def given(resource: ClaudeMemServer) -> dict[Component, SecretKeyRef]:
    """The Secrets' keys that the resource names, by store."""
    spec = resource.spec
    stores = {Component.POSTGRES: spec.postgres.external, Component.VALKEY: spec.valkey.external}
    return {
        store: external.ca_secret_ref
        for store, external in stores.items()
        if external is not None and external.ca_secret_ref is not None
    }


def directory(store: Component) -> str:
    """Where processes find the file."""
    return f"/run/secrets/{volume(store)}"


def volume(store: Component) -> str:
    """The name of the pod's volume with the file."""
    return f"{store}-authorities"
