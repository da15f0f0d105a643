"""Reading what a reconcile starts from: the children that exist, and what the resource refers to.

Everything is read from the API server, never from a cache of watched objects, so nothing is decided on an
old state. Values of Secrets leave this module only as digests, as the generated ones that are kept, or as URLs of stores,
which say whether the authorities that are named beside them are asked.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from claude_mem_operator.desired.digests import value_digest
from claude_mem_operator.desired.names import OWNER_LABEL, Component, claim_name, credentials_name
from claude_mem_operator.desired.types import (
    EXTERNAL_METRICS,
    HTTP_ROUTE,
    PROMETHEUS_RULE,
    SERVICE_MONITOR,
)
from claude_mem_operator.engine.reports import read_reports
from claude_mem_operator.kube import kinds
from claude_mem_operator.kube.port import ObjectRef

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from claude_mem_operator.api import ClaudeMemServer
    from claude_mem_operator.desired import Identities
    from claude_mem_operator.kube.port import Kind, KubeApi, Manifest

_OPTIONAL: Final = {
    SERVICE_MONITOR: kinds.SERVICE_MONITOR,
    PROMETHEUS_RULE: kinds.PROMETHEUS_RULE,
    HTTP_ROUTE: kinds.HTTP_ROUTE,
}
_REFERENCES: Final = {"configMapKeyRef": kinds.CONFIG_MAP, "secretKeyRef": kinds.SECRET}


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """A key of a Secret or a ConfigMap that a resource reads; `optional` if it says so itself."""

    kind: str
    name: str
    key: str
    optional: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}/{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What was there when the reconcile began.

    `missing` are the references that lead nowhere. `database_volume` is the uid of the managed PostgreSQL's volume
    claim, empty where there is none. `urls` are those of external stores, by reference. `reports` is what the migrations
    told, by name of the Job.
    """

    children: dict[ObjectRef, Manifest]
    digests: Mapping[str, str] = field(repr=False)
    generated: Mapping[str, Mapping[str, str]] = field(repr=False)
    urls: Mapping[str, str] = field(repr=False)
    missing: tuple[Reference, ...]
    capabilities: frozenset[str]
    database_volume: str
    reports: Mapping[str, Identities]


def observe(kube: KubeApi, resource: ClaudeMemServer) -> Observation:
    """Read everything that the children of `resource` depend on. Raises what the API server does."""
    children = read_children(kube, resource)
    reader = _Reader(kube, resource.metadata.namespace, children)
    wanted = sorted(set(references(resource)))
    found = {reference: reader.value(reference) for reference in wanted}
    return Observation(
        children=children,
        digests={str(one): value_digest(value) for one, value in found.items() if value is not None},
        generated={name: reader.texts(name) for name in _generated_names(resource)},
        urls=_urls(resource, found),
        missing=tuple(one for one, value in found.items() if value is None and not one.optional),
        capabilities=capabilities(kube),
        # After the children: where its StatefulSet was seen ready, its claim is there.
        database_volume=_database_volume(kube, resource),
        reports=read_reports(kube, resource, children),
    )


def read_children(kube: KubeApi, resource: ClaudeMemServer) -> dict[ObjectRef, Manifest]:
    """Every object with the label of this resource's uid, of the kinds that children have."""
    labels = {OWNER_LABEL: resource.metadata.uid}
    found: dict[ObjectRef, Manifest] = {}
    for kind in kinds.CHILD_KINDS:
        if kind in kinds.OPTIONAL_KINDS and not kube.serves(kind):
            continue
        for item in kube.list(kind, resource.metadata.namespace, labels):
            found[ObjectRef(kind, resource.metadata.namespace, item["metadata"]["name"])] = item
    return found


def references(resource: ClaudeMemServer) -> Iterator[Reference]:
    """Every key of a Secret or a ConfigMap that the spec names, wherever it does."""
    yield from _references_in(resource.spec.manifest())


def capabilities(kube: KubeApi) -> frozenset[str]:
    """What of the optional APIs the cluster serves."""
    found = {name for name, kind in _OPTIONAL.items() if kube.serves(kind)}
    if kube.serves_group(EXTERNAL_METRICS):
        found.add(EXTERNAL_METRICS)
    return frozenset(found)


def _urls(resource: ClaudeMemServer, found: Mapping[Reference, bytes | None]) -> dict[str, str]:
    stores = (resource.spec.postgres.external, resource.spec.valkey.external)
    named = [store.url_secret_ref for store in stores if store is not None]
    keys = [Reference(kinds.SECRET.kind, one.name, one.key) for one in named]
    values = {key: found[key] for key in keys}
    return {str(key): value.decode(errors="replace") for key, value in values.items() if value is not None}


def _database_volume(kube: KubeApi, resource: ClaudeMemServer) -> str:
    if resource.spec.postgres.managed is None:
        return ""
    name = claim_name(resource, Component.POSTGRES)
    found = kube.get(ObjectRef(kinds.VOLUME_CLAIM, resource.metadata.namespace, name))
    return str(found["metadata"]["uid"]) if found is not None else ""


def _references_in(part: Any) -> Iterator[Reference]:
    if isinstance(part, list):
        for item in part:
            yield from _references_in(item)
    if not isinstance(part, dict):
        return
    for name, below in part.items():
        kind = _reference_kind(name)
        if kind is not None and isinstance(below, dict) and {"name", "key"} <= below.keys():
            yield Reference(kind.kind, below["name"], below["key"], bool(below.get("optional")))
        else:
            yield from _references_in(below)


def _reference_kind(member: str) -> Kind | None:
    return kinds.SECRET if member.endswith("SecretRef") else _REFERENCES.get(member)


def _generated_names(resource: ClaudeMemServer) -> tuple[str, ...]:
    return (
        resource.api_key_secret_name,
        credentials_name(resource, Component.POSTGRES),
        credentials_name(resource, Component.VALKEY),
    )


class _Reader:
    """Reads each Secret and ConfigMap once."""

    def __init__(self, kube: KubeApi, namespace: str, children: Mapping[ObjectRef, Manifest]) -> None:
        self._kube = kube
        self._namespace = namespace
        self._read: dict[ObjectRef, Manifest | None] = dict(children)

    def value(self, reference: Reference) -> bytes | None:
        """What is under the key; None where the object or the key is not there."""
        kind = kinds.SECRET if reference.kind == kinds.SECRET.kind else kinds.CONFIG_MAP
        found = self._object(ObjectRef(kind, self._namespace, reference.name))
        if kind == kinds.SECRET:
            encoded = (found.get("data") or {}).get(reference.key)
            return None if encoded is None else base64.b64decode(encoded)
        text = (found.get("data") or {}).get(reference.key)
        if text is not None:
            return str(text).encode()
        encoded = (found.get("binaryData") or {}).get(reference.key)
        return None if encoded is None else base64.b64decode(encoded)

    def texts(self, name: str) -> dict[str, str]:
        """The data of a generated Secret, as far as it is text; empty where there is none."""
        found = self._object(ObjectRef(kinds.SECRET, self._namespace, name))
        return {
            key: base64.b64decode(value).decode(errors="replace")
            for key, value in (found.get("data") or {}).items()
        }

    def _object(self, ref: ObjectRef) -> Manifest:
        if ref not in self._read:
            self._read[ref] = self._kube.get(ref)
        return self._read[ref] or {}
