"""Events on the resource: one object for each thing that happens, counted where it happens again."""

from __future__ import annotations

import hashlib
from datetime import UTC
from typing import TYPE_CHECKING, Final

from claude_mem_operator.desired.names import MANAGER
from claude_mem_operator.kube.errors import AlreadyExists, KubeError, NotLeading
from claude_mem_operator.kube.kinds import CLAUDE_MEM_SERVER, EVENT
from claude_mem_operator.kube.port import ObjectRef

if TYPE_CHECKING:
    from datetime import datetime

    from claude_mem_operator.engine.conditions import EventType
    from claude_mem_operator.kube.port import KubeApi, Manifest

#: What the API server takes of a message.
_MESSAGE: Final = 1024


def record(
    kube: KubeApi, resource: Manifest, *, event: EventType, reason: str, message: str, now: str
) -> None:
    """Write an Event about `resource`; the same reason and message again raise its count.

    An Event that cannot be written is no reason to fail: the status says the same.
    """
    metadata = resource["metadata"]
    digest = hashlib.sha256(f"{metadata['uid']}/{reason}/{message}".encode()).hexdigest()[:16]
    ref = ObjectRef(EVENT, metadata["namespace"], f"{metadata['name']}.{digest}")
    try:
        if not _count(kube, ref, now):
            _create(kube, ref, resource, event=event, reason=reason, message=message, now=now)
    except NotLeading:
        raise
    except KubeError:
        return


def instant(time: datetime) -> str:
    """A moment as Kubernetes writes it: RFC 3339, whole seconds, UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _count(kube: KubeApi, ref: ObjectRef, now: str) -> bool:
    found = kube.get(ref)
    if found is None:
        return False
    kube.patch(ref, {"count": found.get("count", 1) + 1, "lastTimestamp": now})
    return True


def _create(
    kube: KubeApi,
    ref: ObjectRef,
    resource: Manifest,
    *,
    event: EventType,
    reason: str,
    message: str,
    now: str,
) -> None:
    metadata = resource["metadata"]
    body: Manifest = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": ref.name, "namespace": ref.namespace},
        "involvedObject": {
            "apiVersion": CLAUDE_MEM_SERVER.api_version,
            "kind": CLAUDE_MEM_SERVER.kind,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "reason": reason,
        "message": message[:_MESSAGE],
        "type": event.value,
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
    }
    try:
        kube.create(body)
    except AlreadyExists:
        return
