"""What is done before a resource goes: its volumes, which garbage collection cannot decide about.

Everything else goes with its owner. A retained Secret has no owner, and stays.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from claude_mem_operator.api import ClaudeMemServer, InvalidResource
from claude_mem_operator.desired.names import OWNER_LABEL, PREFIX, Component, claim_name, credentials_name
from claude_mem_operator.engine.apply import belongs_to
from claude_mem_operator.engine.conditions import EVENTS
from claude_mem_operator.engine.events import instant, record
from claude_mem_operator.kube.errors import Forbidden, KubeError, NotFound, NotLeading
from claude_mem_operator.kube.kinds import CLAUDE_MEM_SERVER, NAMESPACE, SECRET, STATEFUL_SET, VOLUME_CLAIM
from claude_mem_operator.kube.port import ObjectRef

if TYPE_CHECKING:
    from collections.abc import Callable

    from claude_mem_operator.kube.port import KubeApi, Manifest

FINALIZER: Final = f"{PREFIX}/cleanup"
#: After how many seconds of trying the resource is let go in any case.
DEADLINE_S: Final = 60.0
_STORES: Final = (Component.POSTGRES, Component.VALKEY)


def finalize(kube: KubeApi, raw: Manifest, *, now: Callable[[], datetime]) -> None:
    """Do what deletion has to do, then take the finalizer away.

    Raises what the API server refuses, unless a minute has passed or the namespace goes too: then the
    finalizer is given up all the same.
    """
    if FINALIZER not in raw["metadata"].get("finalizers", ()):
        return
    if not namespace_ends(kube, raw["metadata"]["namespace"]):
        began = datetime.fromisoformat(raw["metadata"]["deletionTimestamp"])
        try:
            reason = _clean(kube, raw)
        except NotLeading:
            raise
        except KubeError as error:
            if (now() - began).total_seconds() < DEADLINE_S:
                raise
            _tell(kube, raw, "Released", f"volumes and credentials were left as they are: {error}", now())
        else:
            if reason is not None:
                _tell(kube, raw, reason, EVENTS[reason][1], now())
    _release(kube, raw)


def namespace_ends(kube: KubeApi, namespace: str) -> bool:
    """Whether the namespace is being deleted; no, where the operator may not look."""
    try:
        found = kube.get(ObjectRef(NAMESPACE, None, namespace))
    except Forbidden:
        return False
    return found is None or bool(found["metadata"].get("deletionTimestamp"))


def _clean(kube: KubeApi, raw: Manifest) -> str | None:
    try:
        resource = ClaudeMemServer.parse(raw)
    except InvalidResource:
        return "Retained"  # what it asked for cannot be read: nothing is destroyed on a guess
    if resource.spec.deletion_policy == "Retain":
        return "Retained" if resource.spec.postgres.managed else None
    namespace, uid = resource.metadata.namespace, resource.metadata.uid
    # First what would make the claims again.
    for live in kube.list(STATEFUL_SET, namespace, {OWNER_LABEL: uid}):
        if belongs_to(live, uid) and not live["metadata"].get("deletionTimestamp"):
            kube.delete(
                ObjectRef(STATEFUL_SET, namespace, live["metadata"]["name"]), uid=live["metadata"]["uid"]
            )
    for component in _STORES:
        _delete_claim(kube, resource, component)
        secret = ObjectRef(SECRET, namespace, credentials_name(resource, component))
        found = kube.get(secret)
        if found is not None and belongs_to(found, uid):
            kube.delete(secret, uid=found["metadata"]["uid"])
    return None


def _delete_claim(kube: KubeApi, resource: ClaudeMemServer, component: Component) -> None:
    ref = ObjectRef(VOLUME_CLAIM, resource.metadata.namespace, claim_name(resource, component))
    found = kube.get(ref)
    if found is None or found["metadata"].get("deletionTimestamp"):
        return
    labels = found["metadata"].get("labels") or {}
    if labels.get("app.kubernetes.io/instance") == resource.metadata.name:
        kube.delete(ref, uid=found["metadata"]["uid"])


def _release(kube: KubeApi, raw: Manifest) -> None:
    metadata = raw["metadata"]
    ref = ObjectRef(CLAUDE_MEM_SERVER, metadata["namespace"], metadata["name"])
    kept = [name for name in metadata["finalizers"] if name != FINALIZER]
    try:
        kube.patch(ref, {"metadata": {"finalizers": kept, "resourceVersion": metadata["resourceVersion"]}})
    except NotFound:
        return


def _tell(kube: KubeApi, raw: Manifest, reason: str, message: str, now: datetime) -> None:
    record(kube, raw, event=EVENTS[reason][0], reason=reason, message=message, now=instant(now))
